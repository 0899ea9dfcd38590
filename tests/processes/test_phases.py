"""Expand and contract in a rollout; more of what a run applies in tests/alembic_online/test_in_phase.py."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.conftest import alembic, started
from tests.faults.checkout import checkout_with, start
from tests.processes.live import live_api
from tests.processes.test_history import UP, history
from tests.processes.test_migrator import migrator
from tests.processes.test_schema import schema
from tests.python import HANGS

EXPAND, CONTRACT = {"MIGRATOR_PHASE": "expand"}, {"MIGRATOR_PHASE": "contract"}
REVISIONS = {
    "add": 'op.create_table("remarks", sa.Column("remark", sa.Text))',
    "drop": 'op.drop_column("staff", "notes")',
    "more": 'op.create_table("more_remarks", sa.Column("remark", sa.Text))',
    "gone": 'op.drop_column("staff", "email")',
}
ATTRIBUTES = {
    "drop": {"phase": "contract", "safe_from_release": "0.4.0"},
    "gone": {"phase": "contract", "safe_from_release": "0.5.0"},
}
# True once an old release is connected.
WAITS = (
    "op.execute('''DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'api@0.2.0'"
    " AND datname = current_database()) LOOP PERFORM pg_sleep(0.01), pg_stat_clear_snapshot(); END LOOP; END $$''')"
    "  # lint: allow opaque: it only waits"
)
IS_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO $$%' AND datname = current_database()"
API = "FROM pg_stat_activity WHERE application_name = 'api@0.3.7' AND datname = current_database()"
IS_SEEN = f"SELECT min(pid) {API}"


@pytest.fixture(scope="module")
def two_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with an expand revision and a contract revision, and two more."""
    return checkout_with(tmp_path_factory.mktemp("releases"), attributes=ATTRIBUTES, **REVISIONS)


@asynccontextmanager
async def connected(server: Server, database: str, *names: str) -> AsyncIterator[None]:
    """Sessions with these names, until the block ends; then waits until they are gone."""
    async with AsyncExitStack() as stack:
        watcher = await asyncpg.connect(server.url("zoo_migrator", database))
        stack.push_async_callback(watcher.close)
        sessions = [
            await asyncpg.connect(server.url("zoo_api", database), server_settings={"application_name": name})
            for name in names
        ]
        pids = [session.get_server_pid() for session in sessions]
        yield
        for session in sessions:
            await session.close()
        async with asyncio.timeout(HANGS):
            while await watcher.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", pids):
                await asyncio.sleep(0.01)


async def until(admin: asyncpg.Connection, query: str) -> Any:
    """The query's result, as soon as it has one."""
    async with asyncio.timeout(HANGS):
        while not (found := await admin.fetchval(query)):
            await asyncio.sleep(0.01)
    return found


async def applied(server: Server, database: str) -> list[str]:
    """The names of those of REVISIONS that are applied."""
    moves = await history(server, database)
    assert moves[: len(UP)] == UP
    return [name for name, _ in moves[len(UP) :]]


class Upgrades:
    """`alembic upgrade` on one database, with one checkout."""

    def __init__(self, server: Server, database: str, checkout: Path) -> None:
        self.environment, self.checkout = server.environment(database), checkout

    async def __call__(self, phase: dict[str, str], code: int = 0, to: str = "head") -> str:
        """The log of a run that ends with `code`."""
        done = await asyncio.to_thread(alembic, self.environment | phase, "upgrade", to, cwd=self.checkout)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


async def test_two_releases_are_rolled_out_a_phase_at_a_time(server: Server, database: str, two_releases: Path) -> None:
    upgrade = Upgrades(server, database, two_releases)

    async def tool(*command: str, code: int = 0, phase: dict[str, str] = EXPAND) -> str:
        done = await asyncio.to_thread(migrator, upgrade.environment | phase, *command, cwd=two_releases)
        assert done.returncode == code, done.stderr
        return str(done.stdout or done.stderr.splitlines()[-1]).strip()

    before = schema(server, database)
    names = ["api@0.3.0", "api@0.3.0", "api command@0.2.0", "api", "api@dev", "api@3b85009", "api@0.4.0rc1"]
    async with connected(server, database, *names, "api@0.4.0"):
        line = (await upgrade({}, 7)).splitlines()[-1]
        assert "api@0.3.0 (2 sessions, pid" in line
        assert all(f"{name} (1 session, pid" in line for name in names if name != "api@0.3.0")
        assert "api@0.4.0 (" not in line
        assert "is not a version number" in line
        line = (await upgrade(CONTRACT, 7)).splitlines()[-1]
        assert "the contract revision drop waits for the expand revision add" in line
        line = (await upgrade(EXPAND, 7)).splitlines()[-1]
        assert "revision more waits behind the contract revision drop" in line
        assert "alembic upgrade add, roll out release 0.4.0" in line
        assert (schema(server, database), await applied(server, database)) == (before, [])
        # What the line says.
        await upgrade(EXPAND, to="add")
        assert await applied(server, database) == ["add"]
        shown = await tool("status")
        assert "drop (contract, safe from release 0.4.0)" in shown
        assert "0.3.0: 2 sessions, 0 workers" in shown
        as_json = json.loads(await tool("status", "--json"))
        assert as_json["contract"] == {"drop": "0.4.0", "gone": "0.5.0"}
        assert as_json["releases"]["0.3.0"] == 2
        # An expand revision is needed, although it waits behind a contract revision.
        assert "not applied after 0 s: more;" in await tool("wait", "--timeout", "0", code=5)
        assert "api@0.3.0 (2 sessions, pid" in await upgrade(CONTRACT, 7)
    assert "waiting for their phase revisions=['more', 'gone'] phase=contract" in await upgrade(CONTRACT)
    assert await applied(server, database) == ["add", "drop"]
    log = await upgrade(EXPAND | {"RELEASE": "0.4.0"})
    assert "waiting for their phase revisions=['gone'] phase=expand" in log
    assert "the schema is not as it should be" not in log
    assert await tool("wait", "--timeout", "0") == "the schema is at the newest revision, except for gone"
    assert "not applied after 0 s: gone;" in await tool("wait", "--timeout", "0", code=5, phase={})
    await upgrade(CONTRACT)
    assert await applied(server, database) == list(REVISIONS)


def test_sql_is_written_for_the_phase_and_says_when_it_may_run(two_releases: Path) -> None:
    to_the_end = alembic({}, "upgrade", f"{UP[-1][0]}:head", "--sql", cwd=two_releases)
    assert to_the_end.stdout.count("-- Not while a release before 0.") == 2
    moves = [line for line in to_the_end.stdout.splitlines() if line.startswith("INSERT INTO migration_history")]
    assert [[floor in move for floor in ("'0.4.0'", "'0.5.0'")] for move in moves] == [
        [False, False],
        [True, False],
        [True, False],
        [False, True],
    ]
    expanding = alembic(EXPAND, "upgrade", f"{UP[-1][0]}:drop", "--sql", cwd=two_releases)
    assert "CREATE TABLE remarks" in expanding.stdout
    assert "DROP COLUMN" not in expanding.stdout
    assert "waiting for their phase" in expanding.stderr


def test_a_revision_whose_phase_can_not_be_told_is_3(server: Server, database: str, tmp_path: Path) -> None:
    checkout = checkout_with(tmp_path, attributes={"add": {"phase": "later"}}, add=REVISIONS["add"])
    done = alembic(server.environment(database), "upgrade", "head", cwd=checkout)
    assert done.returncode == 3
    assert "2099_01_01_0000-add.py" in done.stderr


async def test_an_older_release_that_comes_in_between_stops_the_run_before_the_contract_revision(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    checkout = checkout_with(tmp_path, attributes=ATTRIBUTES, add=WAITS, drop=REVISIONS["drop"])
    run = start(server.environment(database), cwd=checkout)
    ended = asyncio.create_task(asyncio.to_thread(run.communicate))
    await until(admin, IS_WAITING)
    async with connected(server, database, "api@0.2.0"):
        _, log = await ended
    assert run.returncode == 7, log
    assert b"api@0.2.0 (1 session, pid" in log.splitlines()[-1]
    assert await applied(server, database) == ["add"]
    assert "notes" in schema(server, database)


async def test_both_releases_are_ready_until_the_older_one_has_lost_what_it_uses(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection, free_port: int
) -> None:
    both = {name: REVISIONS[name] for name in ("add", "drop")}
    checkout = checkout_with(tmp_path, own=["api"], attributes=ATTRIBUTES, **both)
    needs = checkout / "api" / "database" / "engine.py"
    needs.write_text(needs.read_text().replace(UP[-1][0], "add"))
    upgrade = Upgrades(server, database, checkout)
    old_release = Settings(database_url=server.url("zoo_api", database), release="0.3.7")

    async def is_ready(client: httpx.AsyncClient) -> bool:
        return (await client.get("/health/ready")).status_code == 200

    async with AsyncExitStack() as stack:
        async with started(create_app(old_release)) as old:
            await upgrade(EXPAND)
            address = stack.enter_context(live_api(upgrade.environment | {"RELEASE": "0.4.0"}, free_port, checkout))
            new = await stack.enter_async_context(httpx.AsyncClient(base_url=address))
            assert await is_ready(old)
            assert await is_ready(new)
            # It is seen though nobody asks it anything, also after it has lost its connection.
            first = await until(admin, IS_SEEN)
            await admin.execute("SELECT pg_terminate_backend($1)", first)
            await until(admin, f"{IS_SEEN} AND pid <> {first}")
            assert "api@0.3.7 (" in await upgrade(CONTRACT, 7)
        await until(admin, f"SELECT count(*) = 0 {API}")
        await upgrade(CONTRACT)
        assert await is_ready(new)
        async with started(create_app(old_release)) as old:  # rolled back: what it uses is gone
            assert not await is_ready(old)
