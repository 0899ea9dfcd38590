"""How large batches are, how fast a backfill goes, and what happens to a batch that does not get its locks."""

import random
import time
from collections import deque
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import DBAPIError

from alembic_online.backfill.load import pause
from alembic_online.backfill.state import State
from alembic_online.postgres import sqlstate

# Long enough that the commit and two queries of a batch cost little beside it, and short enough that a session that
# waits for a row does not notice: a row is locked until its batch is committed.
BATCH_SECONDS = 0.2
LARGEST_BATCH = 100_000
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
RATE_SECONDS = 30.0
# lock not available (lock_timeout), deadlock detected, query canceled (statement_timeout)
TRY_AGAIN = {"55P03", "40P01", "57014"}

log = structlog.get_logger(__name__)


def fit(size: int, took: float) -> int:
    """The number of rows of the next batch, after one of `size` rows that took `took` seconds."""
    factor = min(2, max(0.5, BATCH_SECONDS / max(took, 1e-6)))
    return min(LARGEST_BATCH, max(1, round(size * factor)))


@dataclass
class Rate:
    """Rows per second in the last half minute, including rests."""

    marks: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self, rows: int) -> None:
        """Measure from now on, when `rows` are done."""
        self.marks = deque([(time.monotonic(), rows)])

    def note(self, rows: int) -> float | None:
        """The rate, now that `rows` are done; None while it is not known."""
        now = time.monotonic()
        self.marks.append((now, rows))
        while self.marks[0][0] < now - RATE_SECONDS:
            self.marks.popleft()
        began, before = self.marks[0]
        return (rows - before) / (now - began) if rows > before else None


@dataclass
class Patience:
    """Batches that don't get their locks are retried, smaller, until `seconds` have passed without progress."""

    seconds: float
    pause: float = FIRST_PAUSE
    since: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        """A batch is done."""
        self.pause, self.since = FIRST_PAUSE, time.monotonic()

    def bear(self, error: DBAPIError, state: State, table: str) -> None:
        """Pause, and halve the batch; raise the error if it is not about locks, or the time is over."""
        waits = self.pause * random.uniform(0.5, 1.5)  # noqa: S311 - so that two that collide don't collide again
        if sqlstate(error) not in TRY_AGAIN or time.monotonic() + waits > self.since + self.seconds:
            raise error
        log.warning("a batch did not get its locks", table=table, rows=state.batch_size, reason=str(error.orig))
        state.batch_size = max(1, state.batch_size // 2)
        pause(waits)
        self.pause = min(self.pause * 2, LONGEST_PAUSE)
