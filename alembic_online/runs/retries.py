"""A run: each revision is tried until it gets its locks, and never waits long for them.

Guarantee: a statement that waits for a lock on a table blocks everybody behind it, so it waits at most `LOCK_TIMEOUT`.
Then its revision is rolled back and tried again after a pause. Revisions that were applied stay applied. The time-out
always holds, also for the last try. Only statements that block nobody may wait longer, and not without end either: see
online.py.

Each revision may lose `retry_seconds` in this way, counted from the end of its first failed try: in further failed
tries, and in the pauses. Of a try, only lost work counts: the time since it began the revision or, if later, since an
online statement outside of a transaction succeeded: an index that took an hour stays built.
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
# Autovacuum gives way to a waiting session after deadlock_timeout, 1 s: a session that waits for less never gets past.
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
    """Run `migrate` on a connection of `engine(lock_timeout)`; LocksNotObtained if a revision loses `retry_seconds`."""
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
        wait = pause * random.uniform(0.5, 1.5)  # noqa: S311 - so that two that collide don't collide again
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
    """The sessions that were in the way of `migrate`; None if it succeeded."""
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
