"""Work that goes on after its answer: limited in number and in time, and never silent about a failure."""

import asyncio
from collections.abc import Callable

import pytest

from api.background import Background
from api.errors import Unavailable
from tests.conftest import Log


async def test_a_hundred_tasks_at_most_are_under_way(log: Callable[[], list[Log]]) -> None:
    background, go, done = Background(), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(1)

    for _ in range(101):
        await background.start(work)
    assert [(line["event"], line["under_way"]) for line in log()] == [("background work dropped", 100)]
    go.set()
    await background.finish()
    assert len(done) == 100
    await background.start(work)
    await background.finish()
    assert len(done) == 101


async def test_its_end_waits_for_what_tasks_have_started_but_not_for_ever(log: Callable[[], list[Log]]) -> None:
    background, done = Background(), []

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        await background.start(second)

    await background.start(first)
    await background.finish(60)
    assert done == ["second"]

    async def hang() -> None:
        await asyncio.Event().wait()

    await background.start(hang)
    await background.finish(0.01)
    assert [(line["event"], line["tasks"]) for line in log()] == [("background work not done before the end", 1)]


@pytest.mark.parametrize(("error", "has_traceback"), [(Unavailable("No"), False), (RuntimeError("No"), True)], ids=repr)
async def test_a_failure_is_logged_with_a_traceback_if_nobody_expects_it(
    log: Callable[[], list[Log]], error: Exception, has_traceback: bool
) -> None:
    background = Background()

    async def fail() -> None:
        raise error

    await background.start(fail)
    await background.finish()
    (line,) = log()
    assert (line["event"], line["reason"]) == ("background work failed", f"{type(error).__name__}: No")
    assert ("exception" in line) is has_traceback
