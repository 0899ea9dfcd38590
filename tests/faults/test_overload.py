"""More requests than the database can handle, runaway queries, and transactions that hang."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from local.postgres import Server
from tests.live.clients import Sample, besides_busy, load_on, outcomes, percentile
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import STALL, rounds

POOL_SIZE, POOL_TIMEOUT = 10, 2.0
TURNS = 2  # a request waits for a connection twice: to look up the user, and for its own query
STATEMENT_TIMEOUT_SECONDS = 3  # deploy/postgres/10-roles.sh
IDLE_SECONDS = 1  # in place of the role's 30
MARGIN = 1.0  # for a busy machine
ANIMALS = 1_000
FILL = (
    "INSERT INTO exhibits (name) SELECT 'E' || n FROM generate_series(1, 100) n",
    f"INSERT INTO animals (name, exhibit_id) SELECT 'A' || n, 1 + n % 100 FROM generate_series(1, {ANIMALS}) n",
)
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'zoo_api'"
RUNNING = f"{SESSIONS} AND wait_event = 'PgSleep'"
IDLE_IN_TRANSACTION = f"{SESSIONS} AND state = 'idle in transaction'"


def take_seconds(table: str, seconds: float) -> str:
    """SQL that makes each of the api's statements that finds a row in `table` take so long."""
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
        f"CREATE POLICY slow ON {table} USING ((SELECT pg_sleep({seconds})::text) IS NOT NULL) WITH CHECK (true)"
    )


@pytest.fixture
def settings(server: Server, database: str) -> dict[str, str]:
    """An api with one worker, so that its pool is known."""
    pool = {"DATABASE_POOL_SIZE": str(POOL_SIZE), "DATABASE_POOL_TIMEOUT": str(POOL_TIMEOUT)}
    return server.environment(database) | {"WEB_CONCURRENCY": "1"} | pool


async def test_excess_requests_are_refused_at_once_and_accepted_ones_are_answered_in_time(
    settings: dict[str, str], admin: asyncpg.Connection, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for statement in (*FILL, take_seconds("animals", 0.3)):
        await admin.execute(statement)
    port, pool_size = find_free_port(), 2  # so that few clients are too many, because refusing them takes time, too
    with gunicorn(settings | {"DATABASE_POOL_SIZE": str(pool_size)}, port, tmp_path / "api.log"):
        async with load_on(port, pool_size, ANIMALS, pause=0) as usual:
            await asyncio.sleep(4)
        async with load_on(port, 30 * pool_size, ANIMALS, pause=1) as overload:
            await asyncio.sleep(12)
    assert {sample.status for sample in usual.samples} <= {200, 201}
    accepted = [sample for sample in overload.samples if sample.status in {200, 201}]
    refused = [sample for sample in overload.samples if sample.status == 503]
    rates = [len(usual.samples) / duration(usual.samples), len(accepted) / duration(overload.samples)]
    record_property(
        "measured",
        f"{outcomes(overload.samples)}; {rates[0]:.0f} good answers a second before, {rates[1]:.0f} then; "
        f"accepted p99 {percentile(accepted, 99):.1f} s, refused p50 {percentile(refused, 50):.3f} s",
    )
    assert len(accepted) + len(refused) == len(overload.samples)
    assert all(sample.retry_after for sample in refused)
    assert len(refused) > len(accepted)
    assert rates[1] > rounds(quick=0.5, full=0.7) * rates[0]
    assert percentile(refused, 50) < POOL_TIMEOUT / 2
    assert percentile(accepted, 99) < TURNS * POOL_TIMEOUT + max(sample.took for sample in usual.samples) + STALL


async def test_runaway_queries_hold_the_pool_no_longer_than_the_statement_timeout(
    settings: dict[str, str], admin: asyncpg.Connection, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """From as many addresses as there are connections, because one address would not get all of them."""
    for statement in ("INSERT INTO animals (name) VALUES ('Amara')", take_seconds("animals", 60)):
        await admin.execute(statement)
    port = find_free_port()
    with gunicorn(settings, port, tmp_path / "api.log"):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            began = time.monotonic()
            runaways = [
                asyncio.create_task(client.get("/animals", headers={"X-Forwarded-For": address}))
                for address in (f"192.0.2.{number}" for number in range(POOL_SIZE))
            ]
            async with asyncio.timeout(STATEMENT_TIMEOUT_SECONDS):
                while await admin.fetchval(RUNNING) < POOL_SIZE:
                    await asyncio.sleep(0.05)
            statuses = Counter([(await client.get("/exhibits")).status_code])
            while 200 not in statuses:
                statuses[(await client.get("/exhibits")).status_code] += 1
            blocked = time.monotonic() - began
            record_property("measured", f"others' answers {dict(statuses)}, served again after {blocked:.1f} s")
            assert set(statuses) == {503, 200}
            assert blocked < STATEMENT_TIMEOUT_SECONDS + STALL
            answers = await asyncio.gather(*runaways)
    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["Retry-After"] for answer in answers)


async def test_transactions_in_which_the_api_hangs_are_ended_and_it_goes_on(
    settings: dict[str, str], database: str, admin: asyncpg.Connection, tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    for statement in (
        *FILL,
        f"ALTER ROLE zoo_api IN DATABASE {database} SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'",
    ):
        await admin.execute(statement)
    port = find_free_port()
    with gunicorn(settings, port, tmp_path / "api.log") as master:
        (worker,) = psutil.Process(master.pid).children()
        async with load_on(port, rounds(quick=4, full=16), ANIMALS) as load:
            await asyncio.sleep(1)
            await suspend_in_transaction(worker, admin)
            async with asyncio.timeout(IDLE_SECONDS + MARGIN + STALL):
                while await admin.fetchval(IDLE_IN_TRANSACTION):
                    await asyncio.sleep(0.1)
            worker.resume()
            resumed = time.monotonic()
            await asyncio.sleep(MARGIN + rounds(quick=1, full=2))
        assert psutil.Process(master.pid).children() == [worker]
    record_property("measured", f"{outcomes(load.samples)}")
    assert 503 in {sample.status for sample in load.samples} <= {200, 201, 503}
    assert all(sample.retry_after for sample in load.samples if sample.status == 503)
    later = {sample.status for sample in besides_busy(load.samples) if sample.began > resumed + MARGIN}
    assert later
    assert later <= {200, 201}


async def suspend_in_transaction(worker: psutil.Process, admin: asyncpg.Connection) -> None:
    """Suspend the worker in the middle of a transaction, or of several."""
    async with asyncio.timeout(10):
        while True:
            worker.suspend()
            await asyncio.sleep(0.05)  # running statements end
            if await admin.fetchval(IDLE_IN_TRANSACTION):
                return
            worker.resume()
            await asyncio.sleep(0.05)


def duration(samples: list[Sample]) -> float:
    return max(sample.ended for sample in samples) - min(sample.began for sample in samples)
