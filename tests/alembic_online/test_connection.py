"""The migrator's connections: what it works on, and what it refuses before it does anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from alembic_online.errors import ConfigurationError
from alembic_online.runs.connection import LOOK, create_engine, wait_for_database
from alembic_online.settings import Settings
from local.postgres import Server

BACKEND_KEY_DATA = b"K\0\0\0\x0c"  # followed by the process that serves this connection, and a secret


@asynccontextmanager
async def announcing(socket_dir: Path, shift: int) -> AsyncIterator[int]:
    """A port at which all is passed on to Postgres; only the process that it announces is another by `shift`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(socket_dir / ".s.PGSQL.5432"))

        async def answer() -> None:
            while data := await from_server.read(65_536):
                before, message, after = data.partition(BACKEND_KEY_DATA)
                if message:
                    after = (int.from_bytes(after[:4]) + shift).to_bytes(4) + after[4:]
                writer.write(before + message + after)
            writer.close()

        with closing(to_server), closing(writer), suppress(ConnectionError):
            answering = asyncio.create_task(answer())
            while data := await reader.read(65_536):
                to_server.write(data)
            to_server.close()
            await answering

    server = await asyncio.start_server(serve, "127.0.0.1")
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("shift", [-1, 0, 1])
async def test_a_session_that_another_process_serves_than_was_announced_is_a_poolers(
    server: Server, database: str, shift: int
) -> None:
    """So is each of PgBouncer's, whatever version it is of and whatever settings it lets through."""
    async with announcing(server.socket_dir, shift) as port:
        url = f"postgresql://zoo_migrator@127.0.0.1:{port}/{database}?sslmode=disable"
        engine = create_engine(Settings(migration_database_url=url).database(), LOOK)
        if shift == 0:
            await wait_for_database(engine, 0)
        else:
            with pytest.raises(ConfigurationError, match="leads to a connection pooler"):
                await wait_for_database(engine, 0)
