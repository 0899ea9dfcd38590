"""A run: one at a time, each revision tried until it gets its locks, and never waiting long for them.

Guarantee: a statement that waits for a lock on a table has everybody else wait behind it, so it waits `LOCK_TIMEOUT`
and no more. Then its revision is rolled back and tried again after a pause, until `retry_seconds` are over. Revisions
that were applied stay applied. The time-out is never dropped, not for the last try either. Only statements that nobody
else waits behind may wait longer, and not without end either: see online.py.
"""

import asyncio
import random
from collections.abc import Callable

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from migrator.blockers import Blockers, watch
from migrator.errors import LocksNotObtained
from migrator.lock import MigrationLock
from migrator.online import give_time
from migrator.revisions import Progress

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
    """Run `migrate` on a connection of `engine(lock_timeout)`; LocksNotObtained after `retry_seconds`."""
    deadline = asyncio.get_running_loop().time() + retry_seconds
    pause = FIRST_PAUSE
    lock_timeout = LOCK_TIMEOUT
    while True:
        blockers = await _try(engine(lock_timeout), migrate, lock, retry_seconds)
        if blockers is None:
            return
        wait = pause * random.uniform(0.5, 1.5)  # noqa: S311 - so that two that collide don't do so again
        log.warning(
            "a try did not get its locks",
            revision=progress.revision,
            attempts=progress.attempts,
            lock_timeout=lock_timeout,
            in_the_way=blockers.names,
        )
        if asyncio.get_running_loop().time() + wait > deadline:
            break
        await asyncio.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)
        lock_timeout = LOCK_TIMEOUT_FOR_AUTOVACUUM if blockers.autovacuum else LOCK_TIMEOUT
    raise LocksNotObtained(
        f"revision {progress.revision} did not get its locks in {retry_seconds:g} s and is rolled back. "
        f"In the way: {', '.join(blockers.names)}; run this again"
    )


async def _try(
    engine: AsyncEngine, migrate: Callable[[Connection], None], lock: MigrationLock, retry_seconds: float
) -> Blockers | None:
    """Who was in the way of `migrate`; None where it did its work."""

    def run(connection: Connection) -> None:
        give_time(connection, retry_seconds)
        migrate(connection)

    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        await connection.rollback()  # Alembic begins its own transactions
        async with watch(lock.connection, pid) as blockers:
            try:
                await connection.run_sync(run)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in TRY_AGAIN:
                    raise
                return blockers
    return None
