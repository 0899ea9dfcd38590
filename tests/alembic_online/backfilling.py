"""Backfills, executed on a database as in a revision."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from alembic_online.backfill import Backfill, finish, offline_sql, run_backfill
from alembic_online.runs.connection import LOCK, RUN, create_engine
from alembic_online.runs.lock import migration_lock
from alembic_online.runs.retries import LOCK_TIMEOUT
from alembic_online.runs.steps import Progress
from alembic_online.settings import Settings
from local.postgres import Server
from tests.alembic_online.zoo import ZOO

STATE = "SELECT * FROM migration_backfills"


async def backfill(
    server: Server, database: str, *definitions: Backfill, revision: str = "names", progress: Progress | None = None
) -> None:
    """Run these backfills as a revision does, under the migration lock."""
    url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()

    def upgrade(connection: Connection) -> None:
        options = {"project": ZOO, "lock": lock, "progress": progress, "transaction_per_migration": True}
        context = MigrationContext.configure(connection, opts=options)
        with context.begin_transaction(_per_migration=True):
            for definition in definitions:
                with context.autocommit_block():
                    state = run_backfill(context, definition)
                finish(connection, state)

    progress = progress or Progress("1")
    progress.begin(revision)
    run = create_engine(url, RUN, lock_timeout=LOCK_TIMEOUT)
    async with migration_lock(create_engine(url, LOCK), 30) as lock, run.connect() as connection:
        await connection.run_sync(upgrade)


@asynccontextmanager
async def under_way(server: Server, database: str, definition: Backfill) -> AsyncIterator["asyncio.Task[None]"]:
    """A backfill that runs beside the block; at its end, the rest is cancelled, as by SIGTERM."""
    task = asyncio.create_task(backfill(server, database, definition))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def found(admin: asyncpg.Connection, query: str) -> Any:
    """The query's result, as soon as it has one."""
    async with asyncio.timeout(60):
        while True:
            with suppress(asyncpg.UndefinedTableError):  # the backfill creates its table
                if value := await admin.fetchval(query):
                    return value
            await asyncio.sleep(0.01)


async def make_table(admin: asyncpg.Connection, columns: str) -> None:
    await admin.execute(f"CREATE TABLE t ({columns})")
    await admin.execute("ALTER TABLE t OWNER TO zoo_migrator")


async def run_offline(server: Server, database: str, definition: Backfill) -> None:
    connection = await asyncpg.connect(server.url("zoo_migrator", database))
    await connection.execute("SET lock_timeout = '50ms'")
    await connection.execute(offline_sql(definition))
    await connection.close()
