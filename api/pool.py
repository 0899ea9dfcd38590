"""The connections of a process to Postgres, and the queue for them."""

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

# At full speed they wait for some 50 ms. Whoever comes after them is better off with a quick refusal: where the
# database has become slow, they would wait for the whole of the pool's time-out, and then be refused all the same.
WAITING_PER_CONNECTION = 10


class BoundedQueuePool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, whose queue has an end: TimeoutError at once where it is full."""

    _waiting = 0

    def _do_get(self) -> ConnectionPoolEntry:
        if self._waiting >= WAITING_PER_CONNECTION * self.size():
            raise PoolTimeoutError(f"{self._waiting} wait already for one of the pool's {self.size()} connections")
        self._waiting += 1
        try:
            return super()._do_get()
        finally:
            self._waiting -= 1
