"""How fast a backfill is, and how long it bears that a batch does not get its locks."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import greenlet_spawn
from structlog.testing import capture_logs

from alembic_online.backfill.pace import Patience, Rate
from alembic_online.backfill.state import State
from local.postgres import Server
from tests.conftest import engine_for

NOW = 100.0
ErrorOf = Callable[[str], Awaitable[DBAPIError]]


def test_the_rate_is_that_of_the_last_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0, 10, 20, 45, 50, 55, 60])
    monkeypatch.setattr("alembic_online.backfill.pace.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    rate = Rate()
    rate.begin(100)
    assert [rate.note(rows) for rows in (300, 400, 1400)] == [20, 15, 40]
    rate.begin(1400)
    assert [rate.note(rows) for rows in (1400, 1600)] == [None, 20]


@pytest.fixture
def error_of(server: Server, worker_database: str) -> ErrorOf:
    """What SQLAlchemy raises for Postgres's error of a code."""

    async def raised_for(code: str) -> DBAPIError:
        engine = engine_for(server.url("zoo_migrator", worker_database))
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError) as raised:
                await connection.exec_driver_sql(f"DO $$ BEGIN RAISE 'no luck' USING ERRCODE = '{code}'; END $$")
        await engine.dispose()
        return raised.value

    return raised_for


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited, at no time; always as many as there may be."""
    seconds: list[float] = []
    begin = asyncio.sleep

    async def sleep(delay: float) -> None:
        seconds.append(delay)
        await begin(0)

    monkeypatch.setattr("alembic_online.backfill.load.asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr("alembic_online.backfill.pace.time", SimpleNamespace(monotonic=lambda: NOW))
    monkeypatch.setattr(random, "uniform", max)
    return seconds


@pytest.mark.parametrize("code", ["55P03", "40P01", "57014"])
@pytest.mark.parametrize("chance", [min, max])
async def test_after_each_failure_the_batch_is_half_as_large_and_the_pause_twice_as_long(
    error_of: ErrorOf,
    waited: list[float],
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    chance: Callable[[float, float], float],
) -> None:
    monkeypatch.setattr(random, "uniform", chance)
    error = await error_of(code)
    state, patience = State(1, None, None, 0, 0, 0, 10, None), Patience(1000.0, since=NOW)
    sizes = []
    with capture_logs() as log:
        for _ in range(8):
            await greenlet_spawn(patience.bear, error, state, "animals")
            sizes.append(state.batch_size)
    assert sizes == [5, 2, 1, 1, 1, 1, 1, 1]
    assert waited == pytest.approx([chance(0.5, 1.5) * seconds for seconds in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5)])
    assert (log[0]["event"], log[0]["table"], log[0]["rows"]) == ("a batch did not get its locks", "animals", 10)
    assert "no luck" in log[0]["reason"]
    patience.progress()
    assert (patience.pause, patience.since) == (0.1, NOW)


@pytest.mark.parametrize(
    ("since", "code", "is_borne"), [(93, "55P03", True), (92.9, "55P03", False), (99, "22012", False)]
)
async def test_another_error_or_one_whose_pause_would_end_too_late_is_not_borne(
    error_of: ErrorOf, waited: list[float], since: float, code: str, is_borne: bool
) -> None:
    error = await error_of(code)
    state, patience = State(1, None, None, 0, 0, 0, 10, None), Patience(10.0, pause=2.0, since=since)
    if is_borne:
        await greenlet_spawn(patience.bear, error, state, "animals")
        assert waited == [3.0]
    else:
        with pytest.raises(DBAPIError, match="no luck"):
            await greenlet_spawn(patience.bear, error, state, "animals")
        assert waited == []
