"""What a run knows of the releases at work: by sessions, and behind a pooler by the rows that workers keep."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import insert

from alembic_online.runs.connection import LOOK, create_engine
from alembic_online.runs.workers import find_workers, migration_workers
from alembic_online.settings import Settings
from local.postgres import DATABASE, Server, serve
from tests.conftest import FAST_AND_FORGETFUL
from tests.faults.checkout import checkout_with
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.processes.pgbouncer import Pgbouncer, pgbouncer
from tests.processes.test_migrator import migrator
from tests.processes.test_phases import ATTRIBUTES, EXPAND, REVISIONS, Upgrades
from tests.python import Python

OLD = "0.3.7"
SECONDS = 30  # docs/migrations.md, "Phases"


@pytest.fixture
async def pooler(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pgbouncer]:
    async with pgbouncer(server, tmp_path_factory.mktemp("pgbouncer")) as pooler:
        yield pooler


@pytest.fixture
def upgrade(server: Server, database: str, tmp_path: Path) -> Upgrades:
    """To a release that takes a column away, which OLD uses."""
    checkout = checkout_with(tmp_path / "checkout", attributes=ATTRIBUTES, drop=REVISIONS["drop"])
    return Upgrades(server, database, checkout)


def behind(pooler: Pgbouncer, database: str, upgrade: Upgrades) -> dict[str, str]:
    """The settings of an api of OLD, with one worker."""
    url = pooler.url("zoo_api", database)
    return {**upgrade.environment, "DATABASE_URL": url, "RELEASE": OLD, "WEB_CONCURRENCY": "1"}


async def until(admin: asyncpg.Connection, query: str) -> None:
    async with asyncio.timeout(SECONDS + 30):
        while not await admin.fetchval(query):
            await asyncio.sleep(0.1)


async def test_behind_a_pooler_an_older_worker_is_waited_for_until_its_end(
    pooler: Pgbouncer, database: str, upgrade: Upgrades, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    with gunicorn(behind(pooler, database, upgrade), find_free_port(), tmp_path / "api.log"):
        await until(admin, "SELECT count(*) = 1 FROM migration_workers")
        assert f"while these are at work: api@{OLD} (1 worker, seen " in await upgrade({}, 7)
        shown = await asyncio.to_thread(migrator, upgrade.environment, "status", cwd=upgrade.checkout)
        assert f"{OLD}: 0 sessions, 1 worker" in shown.stdout
        for release, code in ((OLD, 0), ("0.4.0", 7)):
            rollout = upgrade.environment | EXPAND | {"RELEASE": release}
            wait = ("wait", "--rolled-out", "--timeout", "0")
            waited = await asyncio.to_thread(migrator, rollout, *wait, cwd=upgrade.checkout)
            assert waited.returncode == code, waited.stderr
            assert code == 0 or "after 0 s, others than release 0.4.0 of the app are at work" in waited.stderr
    names = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
    assert await admin.fetchval(names, f"api pooled@{OLD}"), "its name stays on the pooler's sessions"
    await upgrade({})


async def test_one_that_was_killed_is_waited_for_until_it_has_not_been_seen_for_long(
    pooler: Pgbouncer, database: str, upgrade: Upgrades, admin: asyncpg.Connection
) -> None:
    port = find_free_port()
    command = ["uvicorn", "--factory", "api.main:create_app", "--port", str(port), "--log-level", "warning"]
    with Python(*command, env=os.environ | behind(pooler, database, upgrade)) as worker:
        await until(admin, "SELECT count(*) = 1 FROM migration_workers")
        worker.kill()
    assert "1 worker" in await upgrade({}, 7)
    await admin.execute("UPDATE migration_workers SET seen_at = seen_at - make_interval(secs => $1)", SECONDS)
    # After a start of the server, which is the tests' own, nobody could be seen for a moment: all count for as long.
    await until(admin, f"SELECT pg_postmaster_start_time() < clock_timestamp() - interval '{SECONDS} s'")
    await upgrade({})


async def test_after_a_start_of_postgres_those_count_that_could_not_be_seen(tmp_path: Path) -> None:
    with serve(tmp_path / "data", FAST_AND_FORGETFUL, DATABASE) as fresh:
        engine = create_engine(Settings(migration_database_url=fresh.url("zoo_migrator")).database(), LOOK)
        async with engine.begin() as connection:
            await connection.run_sync(migration_workers.create)
            row = {
                "id": uuid4(),
                "application": "api",
                "release": OLD,
                "host": "",
                "seen_at": datetime(2020, 1, 1, tzinfo=UTC),
            }
            await connection.execute(insert(migration_workers), row)
            [found] = await connection.run_sync(find_workers, "api")
        await engine.dispose()
    assert (found.release, found.count) == (OLD, 1)
