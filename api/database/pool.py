"""The connections of a process to Postgres, and the queue for them."""

from contextlib import suppress
from typing import Any

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from api.client import CLIENT, NOBODY
from api.database.pooler import is_open
from api.metrics import Cause, count_refusal
from api.turns import Asking, TooManyWait, Turns, way

# At full speed these wait for a moment. For further requests a quick refusal is better: if the database has become
# slow, they would wait for the pool's whole time-out, and be refused all the same.
WAITING_PER_CONNECTION = 10
MOMENT = 0.1  # seconds


class FairQueuePool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, but clients take turns at its connections: none has more of them than are left for others.

    Nor do all requests that change one record, because most of them only wait for each other.

    In SQLAlchemy's own queue, a request that arrives at the right moment gets a connection before others that wait,
    some of them until their time-out; and none is told if the connection that it waits for could not be opened.
    """

    count_refusal = staticmethod(count_refusal)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._turns = Turns(self.size(), WAITING_PER_CONNECTION * self.size())
        self._has_turn: Asking | None = None
        self._in_use: dict[ConnectionPoolEntry, Asking] = {}

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection."""
        return self._turns.waiting

    async def checkout(self) -> PoolProxiedConnection:
        """A connection, for callers outside of SQLAlchemy's greenlets; its `close()` gives it back.

        One that is open needs no greenlet: creating one, and switching to it and back, is much of a short query's cost.
        """
        self._has_turn = await self._wait()  # for _do_get(), before which no other task runs
        if self.checkedin():
            with suppress(MissingGreenlet):
                return self.connect()
        return await greenlet_spawn(self.connect)

    def _do_get(self) -> ConnectionPoolEntry:
        asking = await_(self._wait()) if self._has_turn is None else self._has_turn
        self._has_turn = None
        try:
            record = super()._do_get()
        except BaseException:
            self._turns.give_back(asking)
            raise
        if not in_greenlet() and not _is_open(record):
            super()._do_return_conn(record)
            self._has_turn = asking
            raise MissingGreenlet
        self._in_use[record] = asking
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            self._turns.give_back(self._in_use.pop(record))

    async def _wait(self) -> Asking:
        """Wait until a connection is free, or may be opened. TimeoutError after pool_timeout, or if too many wait."""
        client = CLIENT.get()
        # The api itself belongs to no group.
        asking: Asking = () if client is NOBODY else (way(client.address, client.name),)
        if client.changes is not None and (record := client.record()) is not None:
            asking = (*asking, way(record))
        try:
            await self._turns.take(asking, self.timeout())
        except TooManyWait as error:
            self.count_refusal("queue")
            raise PoolTimeoutError(f"too many wait already for one of the pool's {self.size()} connections") from error
        except TimeoutError as error:
            self.count_refusal("pool")
            raise PoolTimeoutError(f"none of the pool's {self.size()} connections was free in time") from error
        return asking


class FairQueuePoolOfReplica(FairQueuePool):
    """The same, but no request is refused with a connection, because the primary is asked instead."""

    @staticmethod
    def count_refusal(cause: Cause) -> None:
        """Count nothing."""


def _is_open(record: Any) -> bool:
    """Whether it has a usable connection, which SQLAlchemy won't replace when it asks that, too, a moment later."""
    return not record._is_hard_or_soft_invalidated() and is_open(record.driver_connection, MOMENT)  # noqa: SLF001
