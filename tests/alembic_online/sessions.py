"""Sessions of the migrator, and of others, on a test's database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_online.runs.connection import LOCK, LOOK, create_engine
from alembic_online.settings import Settings
from local.postgres import Server


def engine_of(server: Server, database: str, name: str = LOCK) -> AsyncEngine:
    return create_engine(Settings(migration_database_url=server.url("zoo_migrator", database)).database(), name)


async def look(server: Server, database: str, work: Callable[[Connection], Any]) -> Any:
    """The result of `work`, as the migrator's role."""
    async with engine_of(server, database, LOOK).connect() as connection:
        return await connection.run_sync(work)


@asynccontextmanager
async def session(
    server: Server, database: str, name: str = "somebody", role: str = "zoo_migrator"
) -> AsyncIterator[asyncpg.Connection]:
    """A session with this name, which ends with the block."""
    connection = await asyncpg.connect(server.url(role, database), server_settings={"application_name": name})
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def under_way(connection: asyncpg.Connection, sql: str) -> AsyncIterator["asyncio.Task[str]"]:
    """The statement, which at the end of the block is cancelled if it is still at work."""
    task = asyncio.create_task(connection.execute(sql))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(admin: asyncpg.Connection, query: str, *arguments: object) -> None:
    """Wait until this is so."""
    async with asyncio.timeout(60):
        while not await admin.fetchval(query, *arguments):
            await asyncio.sleep(0.01)


async def pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    socket_dir: Path,
    change: Callable[[bytes], bytes] = bytes,
) -> None:
    """Pass on to Postgres what a client sends, and to the client what it answers, changed."""
    from_server, to_server = await asyncio.open_unix_connection(str(socket_dir / ".s.PGSQL.5432"))

    async def answer() -> None:
        while data := await from_server.read(65_536):
            writer.write(change(data))
        writer.close()

    with closing(to_server), closing(writer), suppress(ConnectionError):
        answering = asyncio.create_task(answer())
        while data := await reader.read(65_536):
            to_server.write(data)
        to_server.close()
        await answering
