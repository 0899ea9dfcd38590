"""Which release of the app will be the first to have the models as they are now."""

from packaging.version import Version
from sqlalchemy import Connection, inspect, select

from alembic_online.runs.history import TABLE_NAME, migration_history


def next_release(connection: Connection, version: str) -> str:
    """The app's `version`; or the next minor version, if `version` has migrated this database before.

    In that case it has been at work with other models. If the release is too late, a contract revision is delayed; if
    it is too early, the revision would be applied while an app is connected that can't work with it.
    """
    has_migrated = inspect(connection).has_table(TABLE_NAME) and connection.scalar(
        select(migration_history.c.id).where(migration_history.c.release == version).limit(1)
    )
    if not has_migrated:
        return version
    present = Version(version)
    return f"{present.major}.{present.minor + 1}.0"
