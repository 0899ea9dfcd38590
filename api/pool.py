"""The connections of a process to Postgres, and the queue for them."""

import asyncio
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_

# At full speed they wait for a moment. Whoever comes after them is better off with a quick refusal: where the database
# has become slow, they would wait for the whole of the pool's time-out, and then be refused all the same.
WAITING_PER_CONNECTION = 10


class FairQueuePool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, with a queue in front of it in which nobody is overtaken, and that has an end.

    In SQLAlchemy's own, who comes at the right moment gets a connection before those who wait, some of them until their
    time is over; and nobody is told that the connection that they wait for could not be opened.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._free = asyncio.Semaphore(self.size())
        self._waiting = 0

    def _do_get(self) -> ConnectionPoolEntry:
        await_(self._wait())
        try:
            return super()._do_get()
        except BaseException:
            self._free.release()
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            self._free.release()

    async def _wait(self) -> None:
        """Until a connection is free, or may be opened. TimeoutError after the pool's time-out, or if too many wait."""
        if not self._free.locked():
            await self._free.acquire()
            return
        if self._waiting >= WAITING_PER_CONNECTION * self.size():
            raise PoolTimeoutError(f"{self._waiting} wait already for one of the pool's {self.size()} connections")
        self._waiting += 1
        try:
            async with asyncio.timeout(self.timeout()):
                await self._free.acquire()
        except TimeoutError as error:
            raise PoolTimeoutError(f"none of the pool's {self.size()} connections was free in time") from error
        finally:
            self._waiting -= 1
