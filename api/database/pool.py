"""The connections of a process to Postgres, and the queue for them."""

import asyncio
from contextlib import suppress
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

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
        self._has_waited = False

    async def checkout(self) -> PoolProxiedConnection:
        """A connection, for who is in none of SQLAlchemy's greenlets; its `close()` gives it back.

        One that is open takes no greenlet: to make one, and to go there and back, is much of what a short query costs.
        """
        await self._wait()
        self._has_waited = True  # until _do_get(), before which nobody else has a turn
        if self.checkedin():
            with suppress(MissingGreenlet):
                return self.connect()
        return await greenlet_spawn(self.connect)

    def _do_get(self) -> ConnectionPoolEntry:
        if not self._has_waited:
            await_(self._wait())
        self._has_waited = False
        try:
            record = super()._do_get()
        except BaseException:
            self._free.release()
            raise
        if not in_greenlet() and not _is_open(record):
            super()._do_return_conn(record)
            self._has_waited = True
            raise MissingGreenlet
        return record

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


def _is_open(record: Any) -> bool:
    """Whether it has a connection that is good, so that SQLAlchemy won't open another in its place."""
    return not record._is_hard_or_soft_invalidated() and not record.driver_connection.is_closed()  # noqa: SLF001
