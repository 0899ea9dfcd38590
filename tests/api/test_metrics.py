"""What the api counts of what it does, in one process: tests/processes/test_metrics.py has how it is served."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Self

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.client import CLIENT, NOBODY
from api.crud import observing
from api.crud.rounds import one_round
from api.database.engine import SCHEMA_REVISION, create_engine
from api.database.probes import Probes
from api.main import create_app
from api.metrics import LAG, READY, calling
from api.settings import Settings
from api.tasks import end
from local.postgres import Server
from tests.conftest import Log, started, state_of


def count(name: str, **labels: str) -> float:
    """Of this metric only: the registry would collect all of them for its own get_sample_value()."""
    metrics = REGISTRY.restricted_registry([name]).collect()
    return next((sample.value for metric in metrics for sample in metric.samples if sample.labels == labels), 0)


def requests() -> Counter[tuple[str, ...]]:
    """How many there were, by their route, method and class."""
    metrics = REGISTRY.restricted_registry(["http_request_duration_seconds_count"]).collect()
    return Counter({tuple(sample.labels.values()): int(sample.value) for each in metrics for sample in each.samples})


def series() -> int:
    return sum(len(metric.samples) for metric in REGISTRY.collect())


@asynccontextmanager
async def api(server: Server, database: str, **settings: str | float | None) -> AsyncIterator[httpx.AsyncClient]:
    options = {"database_url": server.url("zoo_api", database), **settings}
    async with started(create_app(Settings.model_validate(options))) as client:
        yield client


async def test_a_request_is_counted_once_by_its_route_method_and_class(client: httpx.AsyncClient) -> None:
    before = requests()
    for method, path, labels in (
        ("GET", "/animals?limit=1", ("/animals", "GET", "2xx")),
        ("HEAD", "/animals?limit=1", ("/animals", "HEAD", "2xx")),
        ("GET", "/animals/1000000", ("/animals/{animal_id}", "GET", "4xx")),
        ("GET", "/animals/elephant", ("/animals/{animal_id}", "GET", "4xx")),
        ("GET", "/elephants", ("", "GET", "4xx")),
        ("BREW", "/elephants", ("", "other", "4xx")),
    ):
        await client.request(method, path)
        after = requests()
        assert after - before == {labels: 1}, (method, path)
        before = after


@pytest.mark.parametrize(("error", "outcome"), [(None, "done"), (ValueError(), "failed"), (OSError(), "failed")])
def test_each_round_of_the_apis_own_work_is_counted_by_how_it_ended_and_a_failure_is_said(
    log: Callable[[], list[Log]], error: Exception | None, outcome: str
) -> None:
    before = count("sweeps_total", sweep="cleaning", outcome=outcome)
    with one_round("cleaning", "rows left", OSError):
        if error is not None:
            raise error
    assert count("sweeps_total", sweep="cleaning", outcome=outcome) == before + 1
    said = {None: [], ValueError: [("rows left", "error")], OSError: [("rows left for now", "warning")]}
    assert [(line["event"], line["level"]) for line in log()] == said[type(error) if error else None]


async def test_what_is_cancelled_has_not_failed() -> None:
    async def wait() -> None:
        with calling("mail"), one_round("cleaning", "rows left"):
            await asyncio.sleep(60)

    def counted() -> list[float]:
        calls, rounds = "external_request_duration_seconds_count", "sweeps_total"
        return [
            *(count(calls, service="mail", outcome=outcome) for outcome in ("abandoned", "failed")),
            *(count(rounds, sweep="cleaning", outcome=outcome) for outcome in ("done", "failed", "None")),
        ]

    abandoned, *failed = counted()
    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    calls = REGISTRY.restricted_registry(["external_request_duration_seconds_count"]).collect()
    begun = [tuple(sample.labels.values()) for metric in calls for sample in metric.samples]
    for outcome in ("done", "refused", "failed", "abandoned"):  # before it has any
        assert ("mail", outcome) in begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted() == [abandoned + 1, *failed]


async def test_nothing_that_a_client_chooses_becomes_a_series(client: httpx.AsyncClient) -> None:
    async def send(number: int) -> None:
        await client.request(f"METHOD{number}", f"/animals/{number}")
        await client.get(f"/animals/{number}?name={number}", headers={"X-Request-ID": f"{number}"})
        await client.get(f"/{number}/{number}")
        await client.get(f"/animals/{number}", headers={"User-Agent": f"{number}", "Host": f"{number}.example"})

    await send(0)
    before = series()
    for number in range(1, 4):
        await send(number)
    assert series() == before


@pytest.mark.parametrize(("cause", "at_once"), [("pool", 2), ("queue", 20)])
async def test_a_refusal_for_want_of_a_connection_is_counted(
    server: Server, database: str, admin: asyncpg.Connection, cause: str, at_once: int
) -> None:
    async with api(server, database, database_pool_size=1, database_pool_timeout=0.2) as client:
        before = count("refusals_total", cause=cause)
        async with admin.transaction():
            await admin.execute("LOCK TABLE animals")
            asked = [asyncio.create_task(client.get("/animals")) for _ in range(at_once)]
            refused, _ = await asyncio.wait(asked, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert {answered.result().status_code for answered in refused} == {503}
        assert count("refusals_total", cause=cause) > before
        await asyncio.gather(*asked)


async def test_what_is_so_now_is_written_regularly_also_while_all_connections_are_in_use(
    server: Server, database: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(observing, "ASK_EVERY_SECONDS", 0.1)
    monkeypatch.setattr("api.database.probes.GOOD_FOR_SECONDS", 0)

    async def until(name: str, value: float, **labels: str) -> None:
        async with asyncio.timeout(30):
            while count(name, **labels) != value:
                await asyncio.sleep(0.02)

    async with api(server, database, database_pool_size=2, database_pool_timeout=60, release="4.5.6") as client:
        await until("ready", 1)
        await until("release_info", 1, release="4.5.6", schema_revision=SCHEMA_REVISION)
        db = state_of(client).database
        CLIENT.set(NOBODY)  # not the one of the last request, who would get one only
        async with db.connect(), db.connect():
            tasks = [asyncio.create_task(client.get(f"/animals/{number}")) for number in range(1, 4)]
            await until("http_requests_in_flight", 3)
            await until("db_pool_connections", 2, state="in use")
            await until("db_pool_requests_waiting", 3)
        await asyncio.gather(*tasks)
        await until("db_pool_connections", 2, state="idle")
        await until("http_requests_in_flight", 0)
        saved = "backup_saved_timestamp_seconds"
        await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET backup.saved = '1970-01-01 00:00:30Z'")
        await admin.execute(f"ALTER DATABASE {database} SET lock_timeout = '9s'")
        await admin.execute(f"ALTER DATABASE {database} SET backup.saved = '1970-01-01 00:01:00Z'")
        await until(saved, 60)
        await admin.execute(f"ALTER DATABASE {database} RESET ALL")
        await until(saved, 0)
        await admin.execute("DELETE FROM migration_history")
        await until("ready", 0)


async def test_what_the_process_knows_is_written_each_second_and_the_database_is_asked_every_15(
    server: Server, worker_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) % 3 == 0:
            raise asyncio.CancelledError

    known = SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr(observing, "asyncio", known)
    engine = create_engine(Settings(database_url=server.url("zoo_api", worker_database)))
    probes = Probes(async_sessionmaker(engine))
    for work in (observing.keep_observing(engine), observing.keep_asking(probes, "1.0.0")):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(work, 60)
    await end(*probes.at_work)
    await engine.dispose()
    assert pauses == [1] * 3 + [15] * 3


async def test_how_late_the_event_loop_is_is_measured(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "EVERY_SECONDS", 0.2)
    lag = "event_loop_lag_seconds"
    async with api(server, database), asyncio.timeout(60):
        LAG.set(9)
        while count(lag) >= 0.2:
            await asyncio.sleep(0.02)
        time.sleep(0.5)
        while count(lag) < 0.3:
            await asyncio.sleep(0)


async def test_after_an_unexpected_error_it_is_not_ready_this_is_logged_and_the_database_is_asked_again(
    server: Server, worker_database: str, log: Callable[[], list[Log]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "ASK_EVERY_SECONDS", 0.02)
    monkeypatch.setattr("api.database.probes.GOOD_FOR_SECONDS", 0)
    settings = Settings(database_url=server.url("zoo_api", worker_database))
    engine, errors = create_engine(settings), [ValueError("giraffe")]

    class Failing(AsyncSession):
        async def __aenter__(self) -> Self:
            if errors:
                raise errors[0]
            return await super().__aenter__()

    READY.set(1)
    probes = Probes(async_sessionmaker(engine, class_=Failing))
    asking = asyncio.create_task(observing.keep_asking(probes, settings.release))
    async with asyncio.timeout(60):
        for ready in (0, 1):
            while count("ready") != ready:
                assert not asking.done()
                await asyncio.sleep(0.02)
            errors.clear()
    await end(asking, *probes.at_work)
    await engine.dispose()
    line = log()[0]
    assert (line["level"], line["event"]) == ("error", "unexpected error")
    assert "giraffe" in line["exception"]


def test_each_metric_says_what_it_is() -> None:
    assert [metric.name for metric in REGISTRY.collect() if not metric.documentation] == []


def test_metrics_are_never_on_the_public_port() -> None:
    with pytest.raises(ValueError, match="METRICS_PORT is the same as PORT: everybody could read the metrics"):
        Settings(port=9000, metrics_port=9000).require_usable()
