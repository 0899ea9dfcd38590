"""`python -m alembic_online exporter`: what Prometheus sees of the migrator."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from alembic_online.exporter import ABOUT
from alembic_online.runs.lock import LOCK_KEY
from local.postgres import Server
from tests.conftest import ROOT, find_free_port, superuser
from tests.python import Python, run

PATIENCE = 120  # seconds, on a busy machine


class Exporter:
    """What an exporter serves."""

    def __init__(self, port: int) -> None:
        self.port = port

    def read(self) -> dict[str, Any]:
        """Values by name; those that have labels as a list of both."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").raise_for_status().text
        found: dict[str, Any] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("alembic_online_")
                if sample.labels:
                    found.setdefault(name, []).append((sample.labels, sample.value))
                else:
                    found[name] = sample.value
        return found

    async def until(self, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        found: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                found = await asyncio.to_thread(self.read)
            except httpx.TransportError:
                found = {}
            if found and is_so(found):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(found)


@pytest.fixture
def exporter(server: Server, empty_database: str) -> Iterator[Exporter]:
    port = find_free_port()
    environment = os.environ | server.environment(empty_database)
    with Python("alembic_online", "exporter", "--port", str(port), env=environment) as process:
        yield Exporter(port)
        process.terminate()


async def test_where_there_is_no_ipv6_it_serves_by_ipv4(server: Server, empty_database: str) -> None:
    port = find_free_port()
    command = ["tests.without_ipv6", sys.executable, "-m", "alembic_online", "exporter", "--port", str(port)]
    with Python(*command, env=os.environ | server.environment(empty_database)) as process:
        await Exporter(port).until(lambda found: found["up"])
        process.terminate()


async def migrate(environment: dict[str, str]) -> None:
    done = await asyncio.to_thread(run, "alembic", "upgrade", "head", env=os.environ | environment)
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def owner(server: Server, empty_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await superuser(server, empty_database)
    yield connection
    await connection.close()


async def test_it_says_what_status_says_before_a_run_while_it_is_at_work_and_afterwards(
    exporter: Exporter, server: Server, empty_database: str, owner: asyncpg.Connection
) -> None:
    before = await exporter.until(lambda found: "pending_revisions" in found)
    assert (before["up"], before["running"]) == (1, 0)
    assert before["pending_revisions"] > 5
    assert "drift_changes" not in before

    await owner.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)  # as a run does
    assert (await exporter.until(lambda found: found.get("running")))["pending_revisions"] > 5
    await owner.execute("SELECT pg_advisory_unlock_all()")

    done = await asyncio.to_thread(
        run, "alembic", "upgrade", "head", env=os.environ | server.environment(empty_database)
    )
    assert done.returncode == 0, done.stderr
    await owner.execute("ALTER TABLE animals ADD mood text")
    one = "SELECT min(indexrelid) FROM pg_index WHERE indrelid = 'staff'::regclass AND NOT indisunique"
    await owner.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = ({one})")
    after = await exporter.until(lambda found: found.get("drift_changes") and found["invalid_indexes"])
    assert (after["pending_revisions"], after["invalid_indexes"]) == (0, 1)
    ((revisions, _),) = after["revision_info"]
    assert revisions["current"] == revisions["head"] != ""
    ((move, at),) = after["last_move_timestamp_seconds"]
    assert move == {"revision": revisions["head"], "direction": "upgrade"}
    assert time.time() - 600 < at <= time.time()


async def test_a_backfill_is_followed_and_a_database_that_is_away_is_said(
    exporter: Exporter, server: Server, empty_database: str, owner: asyncpg.Connection
) -> None:
    done = await asyncio.to_thread(
        run, "alembic", "upgrade", "head", env=os.environ | server.environment(empty_database)
    )
    assert done.returncode == 0, done.stderr
    await owner.execute(
        "INSERT INTO migration_backfills (revision, definition, table_name, rows_seen, rows_estimated, batch_size)"
        " VALUES ('abc', 'x', 'animals', 500, 2000, 100)"
    )
    mine = {"revision": "abc", "table": "animals"}
    found = await exporter.until(lambda found: (mine, 500) in found.get("backfill_rows", []))
    assert (mine, 2000) in found["backfill_rows_estimated"]
    assert (mine | {"state": "interrupted"}, 1) in found["backfill_info"]
    admin = await superuser(server)  # nobody gets in any more
    await admin.execute(f'ALTER DATABASE "{empty_database}" WITH ALLOW_CONNECTIONS false')
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", empty_database)
    assert await exporter.until(lambda found: not found["up"]) == {"up": 0}
    await admin.execute(f'ALTER DATABASE "{empty_database}" WITH ALLOW_CONNECTIONS true')
    await admin.close()
    await exporter.until(lambda found: found["up"])


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    assert [name for name in ABOUT if f"`alembic_online_{name}`" not in text] == []
