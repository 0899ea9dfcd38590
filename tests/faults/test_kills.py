"""Runs that are killed, wherever that is: the next run ends in the same state as an undisturbed one."""

import asyncio
import re
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import alembic, clone, drop, superuser
from tests.faults.checkout import checkout_with, concurrently, start
from tests.processes.test_history import UP, history
from tests.processes.test_schema import schema
from tests.rounds import ROUNDS, STALL, rounds

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
WORKING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'migrator%' AND state <> 'idle'"
)
BUILDING = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database() AND blocks_done > 20"
# An index of it takes seconds, though the table is small.
ROWS, SECONDS_FOR_EACH = rounds(quick=(10_000, 0.0005), full=(1_000_000, 0))
SLOWLY = (
    "CREATE OR REPLACE FUNCTION slowly(value text) RETURNS text IMMUTABLE LANGUAGE plpgsql"
    " AS $$ BEGIN PERFORM pg_sleep({}); RETURN value; END $$"
)
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"


async def fill(admin: asyncpg.Connection, rows: int) -> None:
    await admin.execute("INSERT INTO animals (name) SELECT md5(n::text) FROM generate_series(1, $1) n", rows)


async def wait_until(admin: asyncpg.Connection, query: str, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await admin.fetchval(query):
            await asyncio.sleep(0.005)


async def test_killed_in_the_middle_of_the_index_of_a_large_table(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    checkout = checkout_with(tmp_path, index=concurrently("ix_big", column="slowly(name)"))
    await admin.execute(SLOWLY.format(SECONDS_FOR_EACH))
    await fill(admin, ROWS)
    environment = server.environment(database)
    for _ in range(rounds(quick=1, full=3)):
        run = start(environment, cwd=checkout)
        await wait_until(admin, BUILDING)
        run.kill()
        await asyncio.to_thread(run.communicate)
        async with asyncio.timeout(2 + STALL):
            while await admin.fetchval(WORKING):
                await asyncio.sleep(0.01)
        assert await admin.fetchval(VALID, "ix_big") is False
    await admin.execute(SLOWLY.format(0))
    done = await asyncio.to_thread(alembic, environment, "upgrade", "head", cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert "dropping what an interrupted build has left" in done.stderr
    assert await admin.fetchval(VALID, "ix_big") is True
    assert (await history(server, database))[-1] == ("index", "upgrade")


async def test_a_session_left_by_an_earlier_run_is_ended(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    """For example because its machine is gone, and Postgres has not noticed yet."""
    left = await asyncpg.connect(server.url("zoo_migrator", database), server_settings={"application_name": "migrator"})
    sleeping = asyncio.create_task(left.execute("SELECT pg_sleep(60)"))
    await wait_until(admin, WORKING)
    done = await asyncio.to_thread(alembic, server.environment(database), "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert "ending what an earlier run left at work" in done.stderr
    with pytest.raises(asyncpg.PostgresError, match="terminating connection"):
        await sleeping
    await left.close()


# One revision of each kind: transactional, concurrent, and one with both a long statement and rows.
THREE = {
    "column": "op.execute('ALTER TABLE animals ADD COLUMN wild boolean')\nop.execute('CREATE TABLE places (name int)')",
    "index": concurrently("ix_animals_wild", column="wild"),
    "check": (
        "op.execute('ALTER TABLE animals ADD CONSTRAINT ck_wild CHECK (wild OR wild IS NULL) NOT VALID')\n"
        "op.execute('INSERT INTO places VALUES (1), (2)')\n"
        "# lint: allow held-lock: what is killed is to hold one\n"
        "op.execute('ALTER TABLE animals VALIDATE CONSTRAINT ck_wild')"
    ),
}
# Online operations: their steps are committed one by one.
ONLINE = {
    "columns": (
        'op.add_column("animals", sa.Column("common_name", sa.Text))\n'
        'op.add_column("animals", sa.Column("home_id", sa.BigInteger))'
    ),
    "sync": 'op.sync_columns_online("animals", "name", "common_name")',
    "backfill": 'op.backfill("animals", {"common_name": "name"})',
    "not_null": 'op.set_not_null_online("animals", "common_name")',
    "unique": 'op.add_unique_online("uq_animals_common_name", "animals", ["common_name"])',
    "check": """op.add_check_online("common_name", "animals", "common_name <> ''")""",
    "foreign_key": 'op.add_foreign_key_online("fk_home", "animals", "exhibits", ["home_id"], ["id"])',
    "index": 'op.create_index_online("ix_home", "animals", ["home_id"])',
    "no_index": 'op.drop_index_online("ix_animals_species_id", "animals")',
}
BEFORE, INSIDE, AFTER = "before", "inside", "after"
# Message types of Postgres's protocol.
QUERY, PARSE, BIND, EXECUTE, SYNC, READY = b"Q", b"P", b"B", b"E", b"S", b"Z"
ONLY_READS = (b"select", b"show", b"set", b"explain", b"with recursive", b"with batch")
EVERY_RUNS = re.compile(r"^COMMIT|alembic_version|migration_(history|schema)")
ONLY_BEGINS_OR_UNDOES = (b"begin", b"rollback", b"savepoint", b"release")


class Wire:
    """Between a migrator and Postgres: records the changes of the run's own session, and is cut at one of them."""

    def __init__(self, at: int | str, moment: str) -> None:
        """`at` is the number of a statement, from 1 up, or its kind: the first one of that kind."""
        self.at, self.moment = at, moment
        self.statements: list[str] = []
        self.cut = asyncio.Event()
        self.prepared: dict[bytes, bytes] = {}
        self.bound = b""

    @property
    def is_there(self) -> bool:
        return not self.cut.is_set() and self.at in {len(self.statements), *map(kind_of, self.statements[-1:])}

    def change(self, kind: bytes, body: bytes) -> str | None:
        """The statement that this message runs, if it changes something."""
        if kind == PARSE:
            name, sql, _ = body.split(b"\0", 2)
            self.prepared[name] = sql
        elif kind == BIND:
            _, name, _ = body.split(b"\0", 2)
            self.bound = self.prepared[name]
        running = {QUERY: body, EXECUTE: self.bound}.get(kind)
        changes = running and not running.strip().lower().startswith((*ONLY_READS, *ONLY_BEGINS_OR_UNDOES))
        return running.decode() if running and changes else None

    async def relay(self, client: Streams, database: Streams) -> None:
        """Relay one session, the client's messages one by one."""
        (from_client, to_client), (from_database, to_database) = client, database
        length = await from_client.readexactly(4)
        startup = await from_client.readexactly(struct.unpack("!I", length)[0] - 4)
        to_database.write(length + startup)
        is_run = b"application_name\0migrator\0" in startup
        answers = asyncio.create_task(self.relay_answers(from_database, to_client, is_run=is_run))
        try:
            while not self.cut.is_set():
                head = await from_client.readexactly(5)
                body = await from_client.readexactly(struct.unpack("!I", head[1:])[0] - 4)
                if is_run and (statement := self.change(head[:1], body)):
                    self.statements.append(statement)
                    if self.is_there and self.moment == BEFORE:
                        self.cut.set()
                        break
                to_database.write(head + body)
                if is_run and self.is_there and self.moment == INSIDE and head[:1] in {QUERY, SYNC}:
                    await to_database.drain()
                    self.cut.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        to_database.close()
        await answers

    async def relay_answers(
        self, from_database: asyncio.StreamReader, to_client: asyncio.StreamWriter, *, is_run: bool
    ) -> None:
        with suppress(ConnectionError):
            while part := await from_database.read(65536):
                if is_run and self.is_there and self.moment == AFTER and part[-6:-5] == READY:
                    self.cut.set()
                    break
                to_client.write(part)
        to_client.close()


@asynccontextmanager
async def wired(server: Server, folder: Path, wire: Wire) -> AsyncIterator[str]:
    """The folder of a socket that connects to Postgres through `wire`."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.relay((reader, writer), await asyncio.open_unix_connection(f"{server.socket_dir}/.s.PGSQL.5432"))

    folder.mkdir()
    async with await asyncio.start_unix_server(relay, folder / ".s.PGSQL.5432"):
        yield str(folder)


async def run_until_cut(server: Server, database: str, folder: Path, checkout: Path, wire: Wire) -> int | None:
    """Run a migrator through `wire`, and kill it when that is cut; its exit code, None if it was killed."""
    async with wired(server, folder, wire) as socket_dir:
        run = start(
            {"MIGRATION_DATABASE_URL": f"postgresql://zoo_migrator@/{database}?host={socket_dir}"}, cwd=checkout
        )
        ended = asyncio.create_task(asyncio.to_thread(run.communicate))
        cut = asyncio.create_task(wire.cut.wait())
        await asyncio.wait({ended, cut}, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        if wire.cut.is_set():
            run.kill()
        await ended
        return None if wire.cut.is_set() else run.returncode


# After one statement is before the next one: for the many online operations, that is enough.
CASES = {
    "plain-inside": (THREE, INSIDE),
    "plain-after": (THREE, AFTER),
    "plain-before": (THREE, BEFORE),
    "online-inside": (ONLINE, INSIDE),
    "online-after": (ONLINE, AFTER),
}


@asynccontextmanager
async def undisturbed(
    server: Server, maintenance: asyncpg.Connection, folder: Path, checkout: Path
) -> AsyncIterator[tuple[str, str, list[str]]]:
    """A database with some rows, a copy of it that a run has brought to the newest revision, and its statements."""
    template = await clone(maintenance)
    admin = await superuser(server, template)
    await fill(admin, 10)
    await admin.close()
    done = await clone(maintenance, template)
    noting = Wire(-1, INSIDE)  # never cut
    assert await run_until_cut(server, done, folder, checkout, noting) == 0
    assert len(noting.statements) > 15
    yield template, done, noting.statements
    await drop(maintenance, done)
    await drop(maintenance, template)


@pytest.mark.parametrize("revisions", [THREE, ONLINE], ids=["plain", "online"])
async def test_killed_in_one_kind_of_statement_after_the_other_the_last_run_ends_like_an_undisturbed_one(
    server: Server, maintenance: asyncpg.Connection, tmp_path: Path, revisions: dict[str, str]
) -> None:
    """Each run goes on where the one before was killed, and is killed in turn."""
    (tmp_path / "checkout").mkdir()
    checkout = checkout_with(tmp_path / "checkout", **revisions)
    # A folder with a short name: a socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="zoo-wire-") as short:
        async with undisturbed(server, maintenance, Path(short) / "0", checkout) as (database, wanted, statements):
            for number, kind in enumerate(kinds(statements, revisions), 1):
                wire = Wire(kind, INSIDE)
                assert await run_until_cut(server, database, Path(short) / str(number), checkout, wire) is None, kind
            await ends_like(server, database, wanted, checkout, revisions)


@pytest.mark.skipif(ROUNDS != "full", reason="one run is killed after the other; each alone asks for ROUNDS=full")
@pytest.mark.parametrize("case", CASES)
async def test_killed_at_any_statement_the_next_run_ends_like_an_undisturbed_one(
    server: Server, maintenance: asyncpg.Connection, tmp_path: Path, case: str
) -> None:
    revisions, moment = CASES[case]
    (tmp_path / "checkout").mkdir()
    checkout = checkout_with(tmp_path / "checkout", **revisions)
    with tempfile.TemporaryDirectory(prefix="zoo-wire-") as short:
        async with undisturbed(server, maintenance, Path(short) / "0", checkout) as (template, wanted, statements):
            for at, _ in enumerate(statements, 1):
                database = await clone(maintenance, template)
                wire = Wire(at, moment)
                assert await run_until_cut(server, database, Path(short) / str(at), checkout, wire) is None
                await ends_like(server, database, wanted, checkout, revisions)
                await drop(maintenance, database)


async def ends_like(server: Server, database: str, wanted: str, checkout: Path, revisions: dict[str, str]) -> None:
    """A run in `database` now brings it to the state of the database `wanted`."""
    again = await asyncio.to_thread(alembic, server.environment(database), "upgrade", "head", cwd=checkout)
    assert again.returncode == 0, again.stderr
    assert schema(server, database) == schema(server, wanted)
    assert await history(server, database) == [*UP, *((revision, "upgrade") for revision in revisions)]
    assert await rows(server, database) == await rows(server, wanted)


def kind_of(statement: str) -> str:
    """Its SQL keywords: of the same kind are those that have the same, whatever their names."""
    return " ".join(re.findall(r"\b[A-Z]{2,}\b", statement))


def kinds(statements: list[str], revisions: dict[str, str]) -> list[str]:
    """Those of the statements, in their order.

    What every run does, whatever its revisions do, is left to those of one case.
    """
    chosen = [statement for statement in statements if revisions is THREE or not EVERY_RUNS.search(statement)]
    return list(dict.fromkeys(map(kind_of, chosen)))


async def rows(server: Server, database: str) -> list[asyncpg.Record]:
    admin = await superuser(server, database)
    found: list[asyncpg.Record] = await admin.fetch("SELECT * FROM animals ORDER BY id")
    await admin.close()
    return found
