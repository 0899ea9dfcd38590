"""How long a revision is retried: the time of its lasting progress, and of revisions before it, does not count."""

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from alembic_online.errors import LocksNotObtained
from alembic_online.runs.connection import LOCK, RUN, create_engine
from alembic_online.runs.lock import migration_lock
from alembic_online.runs.retries import run_with_retries
from alembic_online.runs.steps import Progress
from alembic_online.settings import Settings
from local.postgres import Server

# Two attempts that fail at once take less, with the longest pauses after them; an attempt with LONG takes more.
RETRY_SECONDS = 4.5
LONG = "SELECT pg_sleep(4.6)"
LONG_ONLINE = "ALTER TABLE animals VALIDATE CONSTRAINT slow"
NEEDS_LOCK = "LOCK TABLE exhibits"
SLOW = (
    "CREATE FUNCTION slow(text) RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(4.6) IS NOT NULL'",
    "INSERT INTO animals (name) VALUES ('Amara')",
    "ALTER TABLE animals ADD CONSTRAINT slow CHECK (slow(name)) NOT VALID",
)

Migrate = Callable[[Connection, Progress], None]


@pytest.fixture
async def reader(server: Server, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A session that has read `exhibits` in a transaction that is still open."""
    connection = await asyncpg.connect(server.url("zoo_api", database))
    await connection.execute("BEGIN")
    await connection.execute("SELECT FROM exhibits")
    yield connection
    await connection.close()


async def run(server: Server, database: str, progress: Progress, migrate: Migrate) -> None:
    """Run `migrate` with retries, as the migrator does."""
    url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()

    def engine(lock_timeout: str) -> AsyncEngine:
        return create_engine(url, RUN, lock_timeout=lock_timeout)

    async with migration_lock(create_engine(url, LOCK), 30) as lock:
        await run_with_retries(engine, lambda found: migrate(found, progress), lock, progress, RETRY_SECONDS)


async def test_the_time_of_the_revision_before_does_not_count(
    server: Server, database: str, reader: asyncpg.Connection
) -> None:
    def migrate(connection: Connection, progress: Progress) -> None:
        if not progress.revision:
            progress.begin("before")
            connection.exec_driver_sql(LONG)
            connection.commit()
        progress.begin("after")
        if progress.attempts > 1:
            await_only(reader.execute("COMMIT"))
        connection.exec_driver_sql(NEEDS_LOCK)

    progress = Progress("1")
    await run(server, database, progress, migrate)
    assert (progress.revision, progress.attempts) == ("after", 2)


async def test_a_revision_that_takes_long_is_tried_again(
    server: Server, database: str, reader: asyncpg.Connection
) -> None:
    def migrate(connection: Connection, progress: Progress) -> None:
        progress.begin("long")
        if progress.attempts > 1:
            await_only(reader.execute("COMMIT"))
        else:
            connection.exec_driver_sql(LONG)
        connection.exec_driver_sql(NEEDS_LOCK)

    progress = Progress("1")
    await run(server, database, progress, migrate)
    assert progress.attempts == 2


@pytest.mark.usefixtures("reader")
async def test_time_whose_work_is_rolled_back_counts(server: Server, database: str) -> None:
    def migrate(connection: Connection, progress: Progress) -> None:
        progress.begin("long")
        if progress.attempts > 1:
            connection.exec_driver_sql(LONG)
        connection.exec_driver_sql(NEEDS_LOCK)

    progress = Progress("1")
    with pytest.raises(LocksNotObtained, match="revision long did not get its locks"):
        await run(server, database, progress, migrate)
    assert progress.attempts == 2


async def test_the_time_of_a_finished_online_statement_does_not_count(
    server: Server, database: str, admin: asyncpg.Connection, reader: asyncpg.Connection
) -> None:
    for statement in SLOW:
        await admin.execute(statement)

    def migrate(connection: Connection, progress: Progress) -> None:
        progress.begin("online")
        if progress.attempts == 2:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql(LONG_ONLINE)
        if progress.attempts == 3:
            await_only(reader.execute("COMMIT"))
        connection.exec_driver_sql("SELECT 1")
        connection.exec_driver_sql(f"DO $$ BEGIN {NEEDS_LOCK}; END $$")  # LOCK TABLE needs a transaction

    progress = Progress("1")
    await run(server, database, progress, migrate)
    assert progress.attempts == 3
