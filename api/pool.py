"""The connections of a process to Postgres, and the queue for them."""

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

# At full speed they wait for some 50 ms. Whoever comes after them is better off with a quick refusal: where the
# database has become slow, they would wait for the whole of the pool's time-out, and then be refused all the same.
WAITING_PER_CONNECTION = 10


class _Room:
    """What is in the queue in the place of a connection where one may be opened."""

    def close(self) -> None:
        """Nothing: the pool closes all that is in its queue when it ends."""


class BoundedQueuePool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, whose queue has an end: TimeoutError at once where it is full.

    And where nobody waits in vain: SQLAlchemy's lets a request wait for the whole time-out, though the connection that
    it waits for could not be opened. Here the next in the queue tries to, and is told at once if that fails, too.
    """

    _waiting = 0

    def _do_get(self) -> ConnectionPoolEntry:
        if self._waiting >= WAITING_PER_CONNECTION * self.size():
            raise PoolTimeoutError(f"{self._waiting} wait already for one of the pool's {self.size()} connections")
        self._waiting += 1
        try:
            while isinstance(entry := super()._do_get(), _Room):
                pass
        finally:
            self._waiting -= 1
        return entry

    def _create_connection(self) -> ConnectionPoolEntry:
        try:
            return super()._create_connection()
        except BaseException:
            if self._pool.empty():
                self._pool.put(_Room(), block=False)  # type: ignore[arg-type]
            raise
