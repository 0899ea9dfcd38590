"""Tasks that run until they are ended."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

AGAIN_SECONDS = 1.0

log = structlog.get_logger(__name__)


def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin a task. Nobody waits for it: if it ends by an exception, the log says so."""
    task = asyncio.create_task(work)
    task.add_done_callback(_look)
    return task


def _look(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a task that should go on has ended", exc_info=error)


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks, and wait until they have ended.

    They are cancelled again if they go on: one that opens a connection at that very moment may lose it, and would be
    waited for without end.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
