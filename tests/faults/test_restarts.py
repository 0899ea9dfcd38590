"""Postgres is killed, stopped and started again, while clients are at work."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import pytest

from local.postgres import DATABASE, SUPERUSER, serve
from tests.conftest import FAST_AND_FORGETFUL, superuser
from tests.faults.replication import copy_of
from tests.live.clients import Sample, besides_busy, load_on, outcomes, percentile
from tests.ports import find_free_port
from tests.processes.live import gunicorn, of_requests, wait_until_ready
from tests.rounds import STALL, rounds

CLIENTS, ANIMALS = rounds(quick=6, full=16), 1_000
UP_SECONDS, DOWN_SECONDS = rounds(quick=(1.0, 1.5), full=(2.0, 2.5))
ANSWER_WITHIN, BACK_WITHIN = 2.0, 2.0
LINES = 40  # in the log for an outage, besides one a request: each worker repeats each kind of failure every 5 s
FILL = (
    "INSERT INTO exhibits (name) SELECT 'E' || n FROM generate_series(1, 100) n",
    f"INSERT INTO animals (name, exhibit_id) SELECT 'A' || n, 1 + n % 100 FROM generate_series(1, {ANIMALS}) n",
)
# After a crash Postgres recovers for some seconds, during which it refuses connections.
ROWS = rounds(quick=100_000, full=1_000_000)
MUCH_TO_REPLAY = f"CREATE TABLE replay AS SELECT n, repeat('x', 500) FROM generate_series(1, {ROWS}) n"
REFUSED, STARTING_UP = "The database can't be reached", "The database can't serve this now"


class Postgres:
    """A server that can be stopped and started again with the same data, on the same port."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, find_free_port()
        self.running = ExitStack()

    def url(self, role: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "max_wal_size": "8GB"}
        self.running.enter_context(serve(self.data, FAST_AND_FORGETFUL | options))

    def stop(self) -> None:
        """Shut it down: it ends its sessions."""
        self.running.close()

    def kill(self) -> None:
        """Kill its processes, all at once, like a crash of the machine."""
        postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().splitlines()[0]))
        for process in (postmaster, *postmaster.children()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.running.close()


@dataclass(frozen=True)
class Outage:
    """When Postgres was told to stop, when it had stopped, when it was started, and when it accepted connections."""

    leaving: float
    gone: float
    started: float
    back: float

    def good(self, samples: list[Sample]) -> float:
        """When the first good answer came after the outage."""
        return min(sample.ended for sample in samples if sample.ended > self.started and sample.status != 503)


@pytest.fixture
async def postgres(origin: Path, tmp_path: Path) -> AsyncIterator[Postgres]:
    copy_of(origin, tmp_path / "data")
    with serve(tmp_path / "data", FAST_AND_FORGETFUL, DATABASE) as server:
        admin = await superuser(server, DATABASE)
        for statement in FILL:
            await admin.execute(statement)
        await admin.close()
    postgres = Postgres(tmp_path / "data")
    postgres.start()
    yield postgres
    postgres.stop()


async def go_away(postgres: Postgres, how: Callable[[Postgres], None]) -> Outage:
    leaving = time.monotonic()
    await asyncio.to_thread(how, postgres)
    gone = time.monotonic()
    await asyncio.sleep(DOWN_SECONDS)
    started = time.monotonic()
    await asyncio.to_thread(postgres.start)
    return Outage(leaving, gone, started, time.monotonic())


async def test_while_postgres_is_down_every_answer_is_503_then_all_is_as_before_and_the_log_is_short(
    postgres: Postgres, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    port, log, outages = find_free_port(), tmp_path / "api.log", []

    def answered() -> int:
        logged = [json.loads(line) for line in log.read_text().splitlines()]
        return sum(request["status"] < 500 for request in of_requests(logged))

    async def serve_well() -> None:
        await asyncio.to_thread(wait_until_ready, f"http://127.0.0.1:{port}")
        before = answered()
        await asyncio.sleep(UP_SECONDS)
        while answered() < before + 3 * CLIENTS:  # on a busy machine
            await asyncio.sleep(0.1)

    with gunicorn({"DATABASE_URL": postgres.url("zoo_api")}, port, log) as master:
        workers = psutil.Process(master.pid).children()
        async with load_on(port, CLIENTS, ANIMALS) as load:
            for how in rounds(quick=[Postgres.stop], full=[Postgres.stop, Postgres.kill] * 2):
                await serve_well()
                outages.append(await go_away(postgres, how))
            await serve_well()
            admin = await asyncpg.connect(postgres.url(SUPERUSER))
            await admin.execute(MUCH_TO_REPLAY)
            await admin.close()
            outages.append(await go_away(postgres, Postgres.kill))
            await serve_well()
        assert psutil.Process(master.pid).children() == workers
    samples = load.samples
    p99, longest = percentile(samples, 99), max(sample.took for sample in samples)
    waits = [outage.good(samples) - outage.back for outage in outages]
    lines = log.read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    others = [line for line, entry in zip(lines, logged, strict=True) if entry["event"] != "request"]
    size = sum(map(len, others)) / 1024
    record_property(
        "measured",
        f"{outcomes(samples)}, p99 {p99:.2f} s, longest {longest:.2f} s, back after {max(waits):.2f} s;"
        f" in the log, besides requests, {len(others)} lines of {size:.0f} KiB for {len(outages)} outages",
    )
    assert {sample.status for sample in samples} == {200, 201, 503}
    assert all(sample.retry_after for sample in samples if sample.status == 503)
    assert {REFUSED, STARTING_UP} < {sample.detail for sample in samples}
    assert p99 < ANSWER_WITHIN + STALL
    assert longest < ANSWER_WITHIN + STALL
    assert max(waits) < BACK_WITHIN + STALL
    assert len(of_requests(logged)) == len(samples)
    assert len(others) < LINES * len(outages)
    assert not [line for line in others if "Traceback" in line]
    for outage, until in zip(outages, [*(later.leaving for later in outages[1:]), math.inf], strict=True):
        good = outage.good(samples)
        away = [sample.status for sample in samples if outage.gone < sample.began < sample.ended < outage.started]
        well = [sample.status for sample in besides_busy(samples) if good < sample.began < sample.ended < until]
        assert min(len(away), len(well)) > CLIENTS
        assert set(away) == {503}
        assert set(well) <= {200, 201}
