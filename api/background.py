"""Work that continues after its request was answered."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from api.database.errors import DATABASE_ERRORS, reason_of
from api.errors import ZooError

MAX_TASKS = 100

log = structlog.get_logger(__name__)


class Background:
    """The tasks of one app: limited in number and, when the app ends, in time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start `work`; if there are too many tasks already, it is dropped, and the log says so."""
        if len(self._tasks) >= MAX_TASKS:
            log.error("background work dropped", under_way=MAX_TASKS)
            return
        task = asyncio.create_task(work())
        self._tasks.add(task)  # the event loop keeps only a weak reference
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            is_unexpected = not isinstance(error, (ZooError, *DATABASE_ERRORS))
            log.error("background work failed", reason=reason_of(error), exc_info=error if is_unexpected else None)

    async def finish(self, seconds: float | None = None) -> None:
        """Wait for all tasks, and those that they start, for at most `seconds`; then cancel them."""
        try:
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            log.error("background work not done before the end", tasks=len(self._tasks))  # noqa: TRY400 - one line
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
