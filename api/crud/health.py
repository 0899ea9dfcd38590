"""The health routes' queries."""

from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from api.database.engine import SCHEMA_REVISION
from api.database.errors import sqlstate
from api.errors import Unavailable

_LAST_MOVE = text("SELECT direction FROM migration_history WHERE revision = :revision ORDER BY id DESC LIMIT 1")
_UNDEFINED_TABLE = "42P01"


async def answers(session: AsyncSession) -> None:
    """Make sure that the database answers."""
    await session.execute(select(1))


async def has_schema(session: AsyncSession) -> None:
    """Make sure that the revision this release needs is among those that were applied; Unavailable otherwise.

    It need not be the newest: while a newer release is rolled out, this one goes on serving.
    """
    try:
        direction = await session.scalar(_LAST_MOVE, {"revision": SCHEMA_REVISION})
    except ProgrammingError as error:
        if sqlstate(error) != _UNDEFINED_TABLE:
            raise
        direction = None
    if direction != "upgrade":
        raise Unavailable(f"The schema lacks revision {SCHEMA_REVISION}: run the migrator (alembic upgrade head)")
