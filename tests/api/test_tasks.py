"""Tasks that run until they are ended."""

import asyncio

import pytest

from api import tasks


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


async def test_there_may_be_none() -> None:
    await tasks.end()
