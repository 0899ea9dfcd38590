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
from api.turns import Asking, TooManyWait, Turns, way

# At full speed they wait for a moment. Whoever comes after them is better off with a quick refusal: where the database
# has become slow, they would wait for the whole of the pool's time-out, and then be refused all the same.
WAITING_PER_CONNECTION = 10


class FairQueuePool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, whose connections clients take in turns: none has more of them than are left for others.

    Nor have those who change the same record, most of whom do nothing with theirs but wait for each other.

    In SQLAlchemy's own queue, who comes at the right moment gets a connection before those who wait, some of them until
    their time is over; and nobody is told that the connection that they wait for could not be opened.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._turns = Turns(self.size(), WAITING_PER_CONNECTION * self.size())
        self._has_turn: Asking | None = None
        self._in_use: dict[ConnectionPoolEntry, Asking] = {}

    async def checkout(self) -> PoolProxiedConnection:
        """A connection, for who is in none of SQLAlchemy's greenlets; its `close()` gives it back.

        One that is open takes no greenlet: to make one, and to go there and back, is much of what a short query costs.
        """
        self._has_turn = await self._wait()  # until _do_get(), before which nobody else has a turn
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
        """Until a connection is free, or may be opened. TimeoutError after the pool's time-out, or if too many wait."""
        client = CLIENT.get()
        # The api itself shares with nobody.
        asking: Asking = () if client is NOBODY else (way(client.address, client.name),)
        if (record := client.record()) is not None:
            asking = (*asking, way(record))
        try:
            await self._turns.take(asking, self.timeout())
        except TooManyWait as error:
            raise PoolTimeoutError(f"too many wait already for one of the pool's {self.size()} connections") from error
        except TimeoutError as error:
            raise PoolTimeoutError(f"none of the pool's {self.size()} connections was free in time") from error
        return asking


def _is_open(record: Any) -> bool:
    """Whether it has a connection that is good, so that SQLAlchemy won't open another in its place."""
    return not record._is_hard_or_soft_invalidated() and not record.driver_connection.is_closed()  # noqa: SLF001
