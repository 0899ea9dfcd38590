"""The health routes' queries."""

from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from api.database.engine import SCHEMA_REVISION
from api.database.errors import sqlstate
from api.errors import SchemaMismatch
from stack_settings.release import find_version, is_older

# The newest move of this release's revision, and the newest of all. Floors are read in this form because the table may
# not have the column yet, as an older release of the migrator has made it.
_SCHEMA = text("""
SELECT ours.direction, to_jsonb(ours) ->> 'floor', to_jsonb(newest) ->> 'floor'
FROM (SELECT * FROM migration_history WHERE revision = :revision ORDER BY id DESC LIMIT 1) ours,
     (SELECT * FROM migration_history ORDER BY id DESC LIMIT 1) newest
""")
_UNDEFINED_TABLE = "42P01"


async def answers(session: AsyncSession) -> None:
    """Make sure that the database answers."""
    await session.execute(select(1))


async def fits_schema(session: AsyncSession, release: str) -> None:
    """Make sure that this release and the schema can work with each other; SchemaMismatch otherwise.

    The revision that it needs has to be among those that were applied. It need not be the newest: while a newer release
    is rolled out, this one goes on serving, until a contract revision takes away what it uses. A release that is not a
    version number can live with the contract revisions that were applied before its own, and with no later ones.
    """
    try:
        found = (await session.execute(_SCHEMA, {"revision": SCHEMA_REVISION})).one_or_none()
    except ProgrammingError as error:
        if sqlstate(error) != _UNDEFINED_TABLE:
            raise
        found = None
    direction, own, floor = found or (None, None, None)
    if direction != "upgrade":
        raise SchemaMismatch(f"The schema lacks revision {SCHEMA_REVISION}: run the migrator (alembic upgrade head)")
    known = release if find_version(release) else own
    if floor is not None and (known is None or is_older(known, floor)):
        nameless = "" if find_version(release) else ", and what is not a version number counts as older (RELEASE)"
        raise SchemaMismatch(
            f"The schema has lost what releases before {floor} use, and this is release {release}{nameless}: roll out "
            f"{floor} or a later one"
        )
