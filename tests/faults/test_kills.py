"""Killed in the middle, wherever that is: the next run ends where an undisturbed one does."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import alembic, clone
from tests.faults.checkout import checkout_with, concurrently, start
from tests.processes.test_history import UP, history

WORKING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'migrator%' AND state <> 'idle'"
)
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"


async def fill(admin: asyncpg.Connection, rows: int) -> None:
    await admin.execute("INSERT INTO animals (name) SELECT md5(n::text) FROM generate_series(1, $1) n", rows)


async def wait_until(admin: asyncpg.Connection, query: str, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await admin.fetchval(query):
            await asyncio.sleep(0.005)


async def test_killed_in_the_middle_of_an_index_on_a_million_rows(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    checkout = checkout_with(tmp_path, index=concurrently("ix_big"))
    await fill(admin, 1_000_000)
    environment = server.environment(database)
    for _ in range(3):
        run = start(environment, cwd=checkout)
        await wait_until(admin, "SELECT count(*) FROM pg_stat_progress_create_index WHERE blocks_done > 100")
        run.kill()
        await asyncio.to_thread(run.communicate)
        async with asyncio.timeout(2):
            while await admin.fetchval(WORKING):
                await asyncio.sleep(0.01)
        assert await admin.fetchval(VALID, "ix_big") is False
    done = await asyncio.to_thread(alembic, environment, "upgrade", "head", cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert "dropping what an interrupted build has left" in done.stderr
    assert await admin.fetchval(VALID, "ix_big") is True
    assert (await history(server, database))[-1] == ("index", "upgrade")


async def test_what_an_earlier_run_has_left_at_work_is_ended(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    """As when its machine is gone, and Postgres does not know yet."""
    left = await asyncpg.connect(server.url("zoo_migrator", database), server_settings={"application_name": "migrator"})
    sleeping = asyncio.create_task(left.execute("SELECT pg_sleep(60)"))
    await wait_until(admin, WORKING)
    done = await asyncio.to_thread(alembic, server.environment(database), "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert "ending what an earlier run left at work" in done.stderr
    with pytest.raises(asyncpg.PostgresError, match="terminating connection"):
        await sleeping
    await left.close()


async def test_who_loses_the_lock_commits_nothing_more(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    wait = "op.execute('LOCK TABLE staff')\nop.execute('SELECT pg_sleep(1)')\nop.execute('CREATE TABLE {} ()')"
    checkout = checkout_with(tmp_path, first=wait.format("first"), second=wait.format("second"))
    run = start(server.environment(database), cwd=checkout)
    await wait_until(
        admin, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1)' AND state = 'active'"
    )
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'migrator lock' AND datname = $1"
    assert await admin.fetchval(ended, database)
    _, log = await asyncio.to_thread(run.communicate)
    assert run.returncode == 5, log
    assert b"the migration lock was lost" in log.splitlines()[-1]
    assert await admin.fetchval("SELECT to_regclass('first')") is None
    assert await history(server, database) == UP


THREE = {
    "column": "op.execute('ALTER TABLE animals ADD COLUMN wild boolean')\nop.execute('CREATE TABLE places (name text)')",
    "index": concurrently("ix_animals_wild", column="wild"),
    "check": (
        "op.execute('ALTER TABLE animals ADD CONSTRAINT ck_wild CHECK (wild IS NOT NULL) NOT VALID')\n"
        "op.execute('INSERT INTO places VALUES (1), (2)')\n"
        "op.execute('ALTER TABLE animals VALIDATE CONSTRAINT ck_wild')"
    ),
}
BEFORE, INSIDE, AFTER = "before", "inside", "after"


class Wire:
    """Between a migrator and Postgres: it counts the statements of the run's own session, and strikes at one of them."""

    def __init__(self, at: int, moment: str) -> None:
        self.at, self.moment = at, moment
        self.statements = 0
        self.struck = asyncio.Event()

    async def relay(self, client: tuple[Any, Any], database: tuple[Any, Any]) -> None:
        """Relay one session's messages."""
        from_client, to_client = client
        from_database, to_database = database
        startup = await from_client.readexactly(4)
        startup += await from_client.readexactly(struct.unpack("!I", startup)[0] - 4)
        to_database.write(startup)
        is_run = b"application_name\0migrator\0" in startup
        answers = asyncio.create_task(self.relay_answers(from_database, to_client, is_run))
        try:
            while not self.struck.is_set():
                head = await from_client.readexactly(5)
                message = head + await from_client.readexactly(struct.unpack("!I", head[1:])[0] - 4)
                if is_run and head[:1] in b"QE":  # Query, Execute
                    self.statements += 1
                    if self.statements == self.at and self.moment == BEFORE:
                        self.struck.set()
                        return
                to_database.write(message)
                if is_run and self.statements == self.at and self.moment == INSIDE and head[:1] in b"QS":  # Query, Sync
                    await to_database.drain()
                    self.struck.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            to_database.close()
            await answers

    async def relay_answers(self, from_database: Any, to_client: Any, is_run: bool) -> None:
        try:
            while part := await from_database.read(65536):
                if (
                    is_run and self.statements == self.at and self.moment == AFTER and part[-6:-5] == b"Z"
                ):  # ReadyForQuery
                    self.struck.set()
                    return
                to_client.write(part)
        except ConnectionError:
            pass
        finally:
            to_client.close()


@asynccontextmanager
async def wired(server: Server, folder: Path, wire: Wire) -> AsyncIterator[str]:
    """The folder of a socket that leads to Postgres through `wire`."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.relay((reader, writer), await asyncio.open_unix_connection(f"{server.socket_dir}/.s.PGSQL.5432"))

    listening = await asyncio.start_unix_server(relay, folder / ".s.PGSQL.5432")
    async with listening:
        yield str(folder)


async def strike(server: Server, database: str, folder: Path, checkout: Path, wire: Wire) -> int | None:
    """Run a migrator through `wire`, and kill it when that strikes; its exit code, None where it was killed."""
    async with wired(server, folder, wire) as socket_dir:
        url = f"postgresql://zoo_migrator@/{database}?host={socket_dir}"
        run = start({"MIGRATION_DATABASE_URL": url}, cwd=checkout)
        ended = asyncio.create_task(asyncio.to_thread(run.communicate))
        struck = asyncio.create_task(wire.struck.wait())
        await asyncio.wait({ended, struck}, return_when=asyncio.FIRST_COMPLETED)
        if wire.struck.is_set():
            run.kill()
        struck.cancel()
        await ended
    return None if wire.struck.is_set() else run.returncode


async def migrated(server: Server) -> str:
    name = await clone(server, f"zoo_kill_{id(object()):x}")
    return name
