"""Expand and contract in a rollout: which revisions a run applies, depending on the connected releases."""

import asyncio
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
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with an expand revision and a contract revision."""
    both = {name: REVISIONS[name] for name in ("add", "drop")}
    return checkout_with(tmp_path_factory.mktemp("release"), attributes=ATTRIBUTES, **both)


@pytest.fixture(scope="module")
def two_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with two of each: one pair after the other."""
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
        async with asyncio.timeout(30):
            while await watcher.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", pids):
                await asyncio.sleep(0.01)


async def until(admin: asyncpg.Connection, query: str) -> Any:
    """The query's result, as soon as it has one."""
    async with asyncio.timeout(30):
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


@pytest.fixture
def upgrade(server: Server, database: str, release: Path) -> Upgrades:
    return Upgrades(server, database, release)


@pytest.fixture
def upgrade_two(server: Server, database: str, two_releases: Path) -> Upgrades:
    return Upgrades(server, database, two_releases)


class TestPhase:
    async def test_expand_stops_before_what_takes_away_and_says_what_waits(
        self, server: Server, database: str, upgrade: Upgrades
    ) -> None:
        log = await upgrade(EXPAND)
        assert "waiting for their phase revisions=['drop'] phase=expand" in log
        assert "the schema is not as it should be" not in log
        assert await applied(server, database) == ["add"]
        assert "nothing to do in this phase phase=expand" in await upgrade(EXPAND, to="drop")
        assert await applied(server, database) == ["add"]

    async def test_contract_is_not_done_while_what_has_to_be_there_before_is_missing(
        self, server: Server, database: str, upgrade: Upgrades
    ) -> None:
        line = (await upgrade(CONTRACT, 7)).splitlines()[-1]
        assert "the contract revision drop waits for the expand revision add" in line
        assert "nothing to do in this phase phase=contract" in await upgrade(CONTRACT, to="add")
        assert await applied(server, database) == []

    async def test_all_is_both_in_their_order(self, server: Server, database: str, upgrade_two: Upgrades) -> None:
        assert "waiting" not in await upgrade_two({})
        assert await applied(server, database) == list(REVISIONS)

    async def test_two_releases_are_caught_up_with_a_phase_at_a_time(
        self, server: Server, database: str, upgrade_two: Upgrades
    ) -> None:
        before = schema(server, database)
        log = await upgrade_two(EXPAND, 7)
        assert "revision more waits behind the contract revision drop" in log
        assert "alembic upgrade add, roll out release 0.4.0" in log
        assert schema(server, database) == before
        await upgrade_two(EXPAND, to="add")
        assert "first run MIGRATOR_PHASE=contract alembic upgrade drop" in await upgrade_two(EXPAND, 7)
        assert "waiting for their phase revisions=['more', 'gone']" in await upgrade_two(CONTRACT)
        assert await applied(server, database) == ["add", "drop"]
        await upgrade_two(EXPAND | {"RELEASE": "0.4.0"})
        await upgrade_two(CONTRACT)
        assert await applied(server, database) == list(REVISIONS)

    def test_sql_is_written_for_the_phase_and_says_when_it_may_run(self, two_releases: Path) -> None:
        to_the_end = alembic({}, "upgrade", f"{UP[-1][0]}:head", "--sql", cwd=two_releases)
        assert to_the_end.stdout.count("-- Not while a release before 0.") == 2
        expanding = alembic(EXPAND, "upgrade", f"{UP[-1][0]}:drop", "--sql", cwd=two_releases)
        assert "CREATE TABLE remarks" in expanding.stdout
        assert "DROP COLUMN" not in expanding.stdout
        assert "waiting for their phase" in expanding.stderr
        assert alembic(EXPAND, "upgrade", f"{UP[-1][0]}:head", "--sql", cwd=two_releases).returncode == 7

    @pytest.mark.parametrize(
        "attributes", [{"phase": "later"}, {"phase": "contract"}, {"phase": "contract", "safe_from_release": "dev"}]
    )
    def test_a_revision_whose_phase_can_not_be_told_is_3(
        self, server: Server, database: str, tmp_path: Path, attributes: dict[str, str]
    ) -> None:
        checkout = checkout_with(tmp_path, attributes={"add": attributes}, add=REVISIONS["add"])
        done = alembic(server.environment(database), "upgrade", "head", cwd=checkout)
        assert done.returncode == 3
        assert "2099_01_01_0000-add.py" in done.stderr


class TestOlderRelease:
    async def test_while_it_is_connected_nothing_of_the_run_is_applied(
        self, server: Server, database: str, upgrade: Upgrades
    ) -> None:
        before = schema(server, database)
        names = ["api@0.3.0", "api@0.3.0", "api command@0.2.0", "api", "api@dev", "api@3b85009", "api@0.4.0rc1"]
        async with connected(server, database, *names, "api@0.4.0"):
            line = (await upgrade({}, 7)).splitlines()[-1]
        assert schema(server, database) == before
        assert await applied(server, database) == []
        assert "api@0.3.0 (2 sessions, pid" in line
        assert all(f"{name} (1 session, pid" in line for name in names if name != "api@0.3.0")
        assert "api@0.4.0 (" not in line
        assert "Roll out release 0.4.0 everywhere" in line
        assert "MIGRATOR_PHASE=expand" in line
        assert "is not a version number" in line
        await upgrade({})
        assert await applied(server, database) == ["add", "drop"]

    async def test_what_only_expands_is_applied_all_the_same(
        self, server: Server, database: str, upgrade: Upgrades
    ) -> None:
        async with connected(server, database, "api@0.3.0"):
            await upgrade(EXPAND)
            await upgrade(CONTRACT, 7)
            await upgrade({}, 7)
            await upgrade({}, 7, to="drop")
        assert await applied(server, database) == ["add"]
        await upgrade(CONTRACT)
        assert await applied(server, database) == ["add", "drop"]

    async def test_each_contract_revision_waits_for_the_release_that_it_names(
        self, server: Server, database: str, upgrade_two: Upgrades
    ) -> None:
        async with connected(server, database, "api@0.4.0", "api@0.10.0", "psql", "my api@0.1.0"):
            assert "contract revision gone" in await upgrade_two({}, 7)
            await upgrade_two({}, to="more")
            await upgrade_two({}, 7)
        assert await applied(server, database) == ["add", "drop", "more"]

    async def test_one_on_another_database_is_in_nobodys_way(
        self, server: Server, database: str, worker_database: str, upgrade: Upgrades
    ) -> None:
        async with connected(server, worker_database, "api@0.3.0"):
            await upgrade({})
        assert await applied(server, database) == ["add", "drop"]

    async def test_one_that_comes_in_between_stops_the_run_before_the_contract_revision(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
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

    async def test_ways_down_and_stamps_do_not_ask(self, server: Server, database: str, release: Path) -> None:
        environment = server.environment(database) | EXPAND
        async with connected(server, database, "api@0.3.0"):
            for command in (("stamp", "head"), ("downgrade", "-1")):
                done = await asyncio.to_thread(alembic, environment, *command, cwd=release)
                assert done.returncode == 0, done.stderr
        assert await applied(server, database) == ["add", "drop", "drop"]

    async def test_a_real_one_is_seen_though_nobody_asks_it_anything(
        self, server: Server, database: str, upgrade: Upgrades, admin: asyncpg.Connection
    ) -> None:
        settings = Settings(database_url=server.url("zoo_api", database), release="0.3.7")
        async with started(create_app(settings)):
            first = await until(admin, IS_SEEN)
            await admin.execute("SELECT pg_terminate_backend($1)", first)
            await until(admin, f"{IS_SEEN} AND pid <> {first}")
            assert "api@0.3.7 (1 session" in await upgrade({}, 7)
        await until(admin, f"SELECT count(*) = 0 {API}")
        await upgrade({})


class TestCommands:
    async def test_status_shows_phases_and_releases(self, server: Server, database: str, release: Path) -> None:
        environment = server.environment(database)
        async with connected(server, database, "api@0.3.0", "api@0.3.0", "api"):
            shown = await asyncio.to_thread(migrator, environment, "status", cwd=release)
            as_json = await asyncio.to_thread(migrator, environment, "status", "--json", cwd=release)
        assert "drop (contract, safe from release 0.4.0)" in shown.stdout
        assert "0.3.0: 2 sessions, 0 workers" in shown.stdout
        assert '"contract": {\n    "drop": "0.4.0"\n  }' in as_json.stdout
        assert '"releases": {\n    "0.3.0": 2,\n    "unknown": 1\n  }' in as_json.stdout

    async def test_wait_waits_for_what_the_phase_applies(self, upgrade: Upgrades, two_releases: Path) -> None:
        async def wait(phase: dict[str, str], cwd: Path = upgrade.checkout) -> tuple[int, str]:
            done = await asyncio.to_thread(migrator, upgrade.environment | phase, "wait", "--timeout", "0", cwd=cwd)
            return done.returncode, (done.stdout or done.stderr.splitlines()[-1]).strip()

        code, line = await wait(EXPAND)
        assert code == 5
        assert "not applied after 0 s: add;" in line
        await upgrade(EXPAND)
        assert await wait(EXPAND) == (0, "the schema is at the newest revision, except for drop")
        code, line = await wait({})
        assert code == 5
        assert "not applied after 0 s: drop;" in line
        # An expand revision is needed, although it waits behind a contract revision.
        code, line = await wait(EXPAND, two_releases)
        assert code == 5
        assert "not applied after 0 s: more;" in line
        await upgrade(CONTRACT)
        assert await wait({}) == (0, "the schema is at the newest revision")


async def test_both_releases_are_ready_until_the_older_one_has_lost_what_it_uses(
    server: Server, database: str, tmp_path: Path, free_port: int
) -> None:
    both = {name: REVISIONS[name] for name in ("add", "drop")}
    checkout = checkout_with(tmp_path, own=["api"], attributes=ATTRIBUTES, **both)
    needs = checkout / "api" / "database" / "engine.py"
    needs.write_text(needs.read_text().replace(UP[-1][0], "add"))
    upgrade = Upgrades(server, database, checkout)
    old_release = Settings(database_url=server.url("zoo_api", database), release="0.3.0")

    async def is_ready(client: httpx.AsyncClient) -> bool:
        return (await client.get("/health/ready")).status_code == 200

    async with started(create_app(old_release)) as old:
        await upgrade(EXPAND)
        with live_api(upgrade.environment | {"RELEASE": "0.4.0"}, free_port, checkout) as address:
            async with httpx.AsyncClient(base_url=address) as new:
                assert await is_ready(old)
                assert await is_ready(new)
                assert "api@0.3.0" in await upgrade(CONTRACT, 7)
    with live_api(upgrade.environment | {"RELEASE": "0.4.0"}, free_port, checkout) as address:
        async with httpx.AsyncClient(base_url=address) as new:
            assert await is_ready(new)
            await upgrade(CONTRACT)
            assert await is_ready(new)
            async with started(create_app(old_release)) as old:  # rolled back: what it uses is gone
                assert not await is_ready(old)


async def test_an_empty_database_gets_all_in_every_phase_as_nobody_uses_it(
    server: Server, empty_database: str, two_releases: Path
) -> None:
    done = alembic(server.environment(empty_database) | EXPAND, "upgrade", "head", cwd=two_releases)
    assert done.returncode == 0, done.stderr
    assert await history(server, empty_database) == [*UP, *((name, "upgrade") for name in REVISIONS)]
