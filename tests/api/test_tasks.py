"""Tasks that run until they are ended."""

import asyncio
from collections.abc import Callable

import pytest

from api import tasks
from tests.conftest import Log


async def test_a_task_that_has_lost_its_cancellation_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    lost = asyncio.Event()

    async def lose_the_first() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            lost.set()
        await asyncio.sleep(3600)

    ending = [asyncio.create_task(lose_the_first()), asyncio.create_task(asyncio.sleep(3600, None))]
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await tasks.end(*ending)
    assert lost.is_set()
    assert all(task.cancelled() for task in ending)


async def test_one_that_ends_by_an_exception_is_logged(log: Callable[[], list[Log]]) -> None:
    async def fail() -> None:
        raise ValueError("giraffe")

    ended = tasks.begin(fail())
    await asyncio.wait([ended])
    await asyncio.sleep(0)
    (line,) = log()
    assert (line["level"], line["event"]) == ("error", "a task that should go on has ended")
    assert "in fail\n" in line["exception"]


async def test_there_may_be_none() -> None:
    await tasks.end()
