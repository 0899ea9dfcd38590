"""Clients that ask for more than their share of the database, or of probes."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from local.postgres import Server
from tests.bearer import bearer
from tests.faults.test_overload import ANIMALS, FILL
from tests.live.clients import Sample, besides_busy, load_on, outcomes, percentile
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import STALL, rounds

CLIENTS, SECONDS = 4, rounds(quick=3, full=15)
LONGEST = 1.0  # seconds that other clients wait for an answer
USUAL = 0.5  # seconds within which half of their requests are answered, on a busy machine, too; it takes 5 ms otherwise
SLOW = 60
PROBERS = 40
PROBE_TIMEOUT = 2.0  # `timeout check` of deploy/proxy/haproxy.cfg
# The crowd, beside others that have none of these headers.
WHERE = {"elsewhere": {"X-Forwarded-For": "192.0.2.1"}, "at the same address": {}}
# An animal that it takes 1.5 s to find; others are found as ever.
SLOTH = (
    "INSERT INTO animals (name, species) VALUES ('Nyota', 'Sloth');"
    "ALTER TABLE animals ENABLE ROW LEVEL SECURITY;"
    "CREATE POLICY slow ON animals USING"
    " (CASE WHEN species = 'Sloth' THEN pg_sleep(1.5)::text IS NOT NULL ELSE true END) WITH CHECK (true)"
)

Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@pytest.fixture
async def port(server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[int]:
    """The port of an api with one worker, which trusts X-Forwarded-For."""
    for statement in FILL:
        await admin.execute(statement)
    port = find_free_port()
    settings = {"WEB_CONCURRENCY": "1", "FORWARDED_ALLOW_IPS": "127.0.0.1"}
    with gunicorn(server.environment(database) | settings, port, tmp_path / "api.log"):
        yield port


@asynccontextmanager
async def crowd(port: int, number: int, ask: Ask, **options: Any) -> AsyncIterator[list[httpx.Response]]:
    """`number` clients that ask again and again until the block ends, each on its own connection; their answers."""
    answers: list[httpx.Response] = []
    is_over = asyncio.Event()

    async def insist() -> None:
        while not is_over.is_set():
            answers.append(await ask(client))
            if answers[-1].status_code == 503:
                await asyncio.sleep(0.1)

    limits = httpx.Limits(max_connections=number)
    address = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits, verify=False, **options) as client:
        tasks = [asyncio.create_task(insist()) for _ in range(number)]
        await asyncio.sleep(1)
        yield answers
        is_over.set()
        await asyncio.gather(*tasks)


def report(samples: list[Sample], answers: list[httpx.Response]) -> str:
    longest = max(sample.took for sample in samples)
    crowds = dict(Counter(answer.status_code for answer in answers))
    return f"others {outcomes(samples)}, p50 {percentile(samples, 50):.3f} s, longest {longest:.2f} s; crowd {crowds}"


def are_served(samples: list[Sample]) -> bool:
    """Whether all are answered well, but for a few that a busy machine refuses: nearly all, if a crowd had the pool."""
    good = [sample for sample in samples if sample.status in {200, 201}]
    return len(good) == len(besides_busy(samples)) >= rounds(quick=0.9, full=1.0) * len(samples) > 0


async def test_slow_reads_leave_the_database_to_others(
    port: int, admin: asyncpg.Connection, record_property: Callable[[str, object], None]
) -> None:
    await admin.execute(SLOTH)

    async def read(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/animals?species=Sloth")

    for where, headers in WHERE.items():
        async with (
            crowd(port, SLOW, read, headers=bearer("admin") | headers) as answers,
            load_on(port, CLIENTS, ANIMALS) as others,
        ):
            await asyncio.sleep(SECONDS)
        measured = f"{where}: {report(others.samples, answers)}"
        record_property("measured", measured)
        assert are_served(others.samples), measured
        assert max(sample.took for sample in others.samples) < LONGEST + STALL, measured
        assert percentile(others.samples, 50) < USUAL, measured
        assert {answer.status_code for answer in answers} == {200, 503}, measured


async def test_a_crowd_that_probes_does_not_delay_a_load_balancers_probe(
    port: int, record_property: Callable[[str, object], None]
) -> None:
    async def probe(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(("/health/ready", "/health/db")[len(took) % 2])

    took: list[float] = []
    statuses = Counter[int]()
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=False) as balancer,
        crowd(port, PROBERS, probe) as answers,
    ):
        deadline = time.monotonic() + rounds(quick=1, full=SECONDS)
        while time.monotonic() < deadline:
            began = time.monotonic()
            statuses[(await balancer.get("/health/ready")).status_code] += 1
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.1)
    record_property("measured", f"longest {max(took):.2f} s of {len(took)}, beside {len(answers)} of the crowd's")
    assert statuses.keys() == {200}
    assert max(took) < PROBE_TIMEOUT / 2 + STALL
    assert {answer.status_code for answer in answers} == {200}
