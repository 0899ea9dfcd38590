"""A backfill, from where it is to its end."""

import random
import time
from collections import deque
from dataclasses import dataclass, field

import structlog
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from api.settings import load_settings
from migrator.backfill.batches import find_batches
from migrator.backfill.definition import Backfill
from migrator.backfill.load import Load, pause, wait_until_calm
from migrator.backfill.state import State, begin, find_batch, finish, percent, seconds_left, write_batch
from migrator.revisions import Progress

# Long enough that a commit and two queries beside it are little, and short enough that who waits for a row does not
# notice: a row is locked until its batch is committed.
BATCH_SECONDS = 0.2
LARGEST_BATCH = 100_000
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LOG_SECONDS = 5.0
RATE_SECONDS = 30.0
# lock not available (lock_timeout), deadlock detected, query canceled (statement_timeout)
TRY_AGAIN = {"55P03", "40P01", "57014"}

log = structlog.get_logger(__name__)


@dataclass
class Rate:
    """Rows per second in the last half minute, rests included."""

    marks: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self, rows: int) -> None:
        """So many are done: what comes is measured from here."""
        self.marks = deque([(time.monotonic(), rows)])

    def note(self, rows: int) -> float | None:
        """So many are done by now; None as long as nothing can be told."""
        now = time.monotonic()
        self.marks.append((now, rows))
        while self.marks[0][0] < now - RATE_SECONDS:
            self.marks.popleft()
        began, before = self.marks[0]
        return (rows - before) / (now - began) if rows > before else None


@dataclass
class Patience:
    """With batches that don't get their locks: smaller ones are tried until `seconds` have passed without progress."""

    seconds: float
    pause: float = FIRST_PAUSE
    since: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        """A batch is done."""
        self.pause, self.since = FIRST_PAUSE, time.monotonic()

    def bear(self, error: DBAPIError, state: State, table: str) -> None:
        """Pause, and halve the batch; where this is no error to bear, or there was time enough, raise it."""
        waits = self.pause * random.uniform(0.5, 1.5)  # noqa: S311 - so that two that collide don't do so again
        if (
            getattr(error.orig, "sqlstate", None) not in TRY_AGAIN
            or time.monotonic() + waits > self.since + self.seconds
        ):
            raise error
        log.warning("a batch did not get its locks", table=table, rows=state.batch_size, reason=str(error.orig))
        state.batch_size = max(1, state.batch_size // 2)
        pause(waits)
        self.pause = min(self.pause * 2, LONGEST_PAUSE)


def run_backfill(context: MigrationContext, backfill: Backfill) -> None:
    """Do what is left of it, inside an `autocommit_block`; the database's error where a batch fails for good.

    ConfigurationError where the table, a column, or the key's index is not there.
    """
    connection, progress = context.connection, context.opts.get("progress")
    assert connection is not None
    batches = find_batches(connection, backfill)
    state = begin(connection, progress.revision if isinstance(progress, Progress) else "", batches)
    say = log.bind(table=backfill.target)
    say.info("backfill resumes" if state.cursor else "backfill begins", **figures(state))
    began, last_said = time.monotonic(), time.monotonic()
    load, rate, patience = Load(), Rate(), Patience(load_settings().migrator_retry_seconds)
    rate.begin(state.rows_seen)
    while True:
        if wait_until_calm(connection, state, load, context.opts.get("lock"), backfill.target):
            rate.begin(state.rows_seen)
            patience.progress()
        batch_began = time.monotonic()
        try:
            batch = find_batch(connection, batches, state)
            if batch is None:
                break
            write_batch(connection, batches, state, *batch)
        except DBAPIError as error:
            patience.bear(error, state, backfill.target)
            continue
        took = time.monotonic() - batch_began
        state.batch_size = fit(state.batch_size, took)
        patience.progress()
        # Half of the time is for others: for replicas, for vacuum, and for who waited for the rows of this batch.
        pause(took)
        state.rows_per_second = rate.note(state.rows_seen)
        if time.monotonic() > last_said + LOG_SECONDS:
            say.info("backfilling", **figures(state))
            last_said = time.monotonic()
    finish(connection, state)
    seconds = round(time.monotonic() - began, 1)
    say.info("backfilled", rows=state.rows_seen, changed=state.rows_changed, seconds=seconds)


def fit(size: int, took: float) -> int:
    """The rows of the next batch, after one of `size` rows that took so many seconds."""
    factor = min(2, max(0.5, BATCH_SECONDS / max(took, 1e-6)))
    return min(LARGEST_BATCH, max(1, round(size * factor)))


def figures(state: State) -> dict[str, object]:
    """What is said of a backfill that is under way."""
    left = seconds_left(state.rows_seen, state.rows_estimated, state.rows_per_second)
    return {
        "rows": state.rows_seen,
        "percent": percent(state.rows_seen, state.rows_estimated),
        "rows_per_second": state.rows_per_second and round(state.rows_per_second),
        "seconds_left": left and round(left),
    }
