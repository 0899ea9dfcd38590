"""The floor: the first release of the app that can work with the schema. The app itself is not ready below it.

Each row of `migration_history` has the floor of the schema after that move, so the newest one has that of now. It is
written with the move: there is no contract revision without its floor, and taking it back takes the floor back. NULL:
any release can.
"""

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, select, text, update

from alembic_online.errors import ReleaseBelowFloor
from alembic_online.project import Project
from alembic_online.runs.contract import floor_of
from alembic_online.runs.history import TABLE_NAME, add_floor, applied, migration_history
from stack_settings.release import find_version, is_older

# In this form because a table that an older release of the tool has made lacks the column.
_FLOOR = text(f"SELECT to_jsonb(newest) ->> 'floor' FROM {TABLE_NAME} newest ORDER BY id DESC LIMIT 1")  # noqa: S608


def read_floor(connection: Connection) -> str | None:
    """The floor of this database; None if there is none."""
    floor: str | None = connection.scalar(_FLOOR) if inspect(connection).has_table(TABLE_NAME) else None
    return floor


def require_not_below_floor(connection: Connection, project: Project) -> None:
    """ReleaseBelowFloor if the schema has lost what this release uses.

    One that is not a version number can live with the contract revisions that it has itself, and with no others.
    """
    release, floor = project.release, read_floor(connection)
    connection.rollback()  # Alembic begins its own transactions
    known = release if find_version(release) else floor_of(project.scripts.walk_revisions())
    if floor is not None and (known is None or is_older(known, floor)):
        raise ReleaseBelowFloor(
            f"release {release} of the app can't work with the schema: contract revisions have taken away what "
            f"releases before {floor} use. Roll out release {floor} or a later one, or first take those revisions "
            "back, with the migrator of a release that has them (alembic downgrade)"
            + (
                ""
                if find_version(release)
                else "; of a release that is not a version number, only its own count (RELEASE)"
            )
        )


def complete_floor(context: MigrationContext) -> None:
    """Write the floor where it is missing, because an older release of the tool has made the last move; commits."""
    connection = context.connection
    assert connection is not None
    if inspect(connection).has_table(TABLE_NAME):
        add_floor(context)
        floor = floor_of(applied(context, context.get_current_heads()).values())
        if read_floor(connection) != floor:
            newest = select(func.max(migration_history.c.id)).scalar_subquery()
            connection.execute(update(migration_history).where(migration_history.c.id == newest).values(floor=floor))
    connection.commit()
