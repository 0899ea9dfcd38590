"""A backfill, from where it was interrupted, or the start, to its end."""

import time

import structlog
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from alembic_online.backfill.batches import find_batches
from alembic_online.backfill.definition import Backfill
from alembic_online.backfill.load import Load, pause, wait_until_calm
from alembic_online.backfill.pace import Patience, Rate, fit
from alembic_online.backfill.state import State, begin, find_batch, percent, seconds_left, write_batch
from alembic_online.runs.steps import Progress
from alembic_online.settings import load_settings

LOG_SECONDS = 5.0

log = structlog.get_logger(__name__)


def run_backfill(context: MigrationContext, backfill: Backfill) -> State:
    """Do what is left of it, inside an `autocommit_block`; the database's error if a batch fails for good.

    It is not marked as finished: the revision's own transaction does that. Otherwise, after a kill just before that
    commit, the next run would begin the backfill anew.
    ConfigurationError if the table, a column, or the key's index does not exist.
    """
    connection, progress = context.connection, context.opts.get("progress") or Progress(release="")
    assert connection is not None
    batches = find_batches(connection, backfill)
    # The planner guesses how many rows a range of keys has, and may take a few for half of the table.
    reads_tables = connection.exec_driver_sql("SHOW enable_seqscan").scalar_one()
    connection.exec_driver_sql("SET enable_seqscan = off")
    state = begin(context, progress.revision, batches)
    say = log.bind(table=backfill.target)
    say.info("backfill resumes" if state.cursor else "backfill begins", **figures(state))
    began, last_said = time.monotonic(), time.monotonic()
    load, rate, patience = Load(), Rate(), Patience(load_settings().migrator_retry_seconds)
    rate.begin(state.rows_seen)
    while True:
        if paused := wait_until_calm(connection, state, load, context.opts.get("lock"), backfill.target):
            rate.begin(state.rows_seen)
            patience.since += paused
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
        progress.keep()
        # Half of the time is for others: replicas, vacuum, and sessions that waited for the rows of this batch.
        pause(took)
        state.rows_per_second = rate.note(state.rows_seen)
        if time.monotonic() > last_said + LOG_SECONDS:
            say.info("backfilling", **figures(state))
            last_said = time.monotonic()
    connection.exec_driver_sql(f"SET enable_seqscan = {reads_tables}")
    seconds = round(time.monotonic() - began, 1)
    say.info("backfilled", rows=state.rows_seen, changed=state.rows_changed, seconds=seconds)
    return state


def figures(state: State) -> dict[str, object]:
    """What the log says about a backfill that is under way."""
    left = seconds_left(state.rows_seen, state.rows_estimated, state.rows_per_second)
    return {
        "rows": state.rows_seen,
        "percent": percent(state.rows_seen, state.rows_estimated),
        "rows_per_second": state.rows_per_second and round(state.rows_per_second),
        "seconds_left": left and round(left),
    }
