"""A run: one at a time, each revision tried until it gets its locks, and never waiting long for them.

Guarantee: a statement that waits for a lock on a table has everybody else wait behind it, so it waits `LOCK_TIMEOUT`
and no more. Then its revision is rolled back and tried again after a pause. Revisions that were applied stay applied.
The time-out is never dropped, not for the last try either. Only statements that nobody else waits behind may wait
longer, and not without end either: see online.py.

Each revision may lose `retry_seconds` in this way, counted from the end of its first try that failed: by further tries
that fail, and by the pauses. Of a try counts what it did in vain, the time since it began with the revision or, where
that was later, since an online statement went well outside of a transaction: an index that took an hour stays built.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_online.errors import LocksNotObtained
from alembic_online.postgres import sqlstate
from alembic_online.runs.blockers import Blockers, watch
from alembic_online.runs.lock import MigrationLock
from alembic_online.runs.online import give_time, is_online
from alembic_online.runs.steps import Progress

LOCK_TIMEOUT = "500ms"
# Autovacuum gives way to a waiter after deadlock_timeout, which is 1 s: who waits for less never gets past it.
LOCK_TIMEOUT_FOR_AUTOVACUUM = "1500ms"
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
# lock not available (lock_timeout), deadlock detected
TRY_AGAIN = {"55P03", "40P01"}

log = structlog.get_logger(__name__)


async def run_with_retries(
    engine: Callable[[str], AsyncEngine],
    migrate: Callable[[Connection], None],
    lock: MigrationLock,
    progress: Progress,
    retry_seconds: float,
) -> None:
    """Run `migrate` on a connection of `engine(lock_timeout)`; LocksNotObtained where a revision has lost those."""
    revision, lost, pause = None, 0.0, FIRST_PAUSE
    lock_timeout = LOCK_TIMEOUT
    while True:
        blockers = await _try(engine(lock_timeout), migrate, lock, progress, retry_seconds)
        if blockers is None:
            return
        if progress.revision == revision:
            lost += progress.lost
        else:
            revision, lost, pause = progress.revision, 0.0, FIRST_PAUSE
        wait = pause * random.uniform(0.5, 1.5)  # noqa: S311 - so that two that collide don't do so again
        log.warning(
            "a try did not get its locks",
            revision=progress.revision,
            attempts=progress.attempts,
            lock_timeout=lock_timeout,
            in_the_way=blockers.names,
        )
        lost += wait
        if lost > retry_seconds:
            break
        await asyncio.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)
        lock_timeout = LOCK_TIMEOUT_FOR_AUTOVACUUM if blockers.autovacuum else LOCK_TIMEOUT
    raise LocksNotObtained(
        f"revision {progress.revision} did not get its locks in {retry_seconds:g} s and is rolled back. "
        f"In the way: {', '.join(blockers.names)}; run this again"
    )


async def _try(
    engine: AsyncEngine,
    migrate: Callable[[Connection], None],
    lock: MigrationLock,
    progress: Progress,
    retry_seconds: float,
) -> Blockers | None:
    """Who was in the way of `migrate`; None where it did its work."""
    progress.keep()

    def keep(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if is_online(statement) and connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            progress.keep()

    def run(connection: Connection) -> None:
        give_time(connection, retry_seconds)
        event.listen(connection, "after_cursor_execute", keep)
        migrate(connection)

    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        await connection.rollback()  # Alembic begins its own transactions
        async with watch(lock.connection, pid) as blockers:
            try:
                await connection.run_sync(run)
            except DBAPIError as error:
                if sqlstate(error) not in TRY_AGAIN:
                    raise
                return blockers
    return None
