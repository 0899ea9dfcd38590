"""One migrator at a time: a session advisory lock, polled for on a connection of its own.

Guarantee: as long as this process and the lock's connection live, no other migrator is inside its block on the same
database. If either dies, Postgres frees the lock at once; a statement that the process had under way ends within
half a second (`client_connection_check_interval`, see connection.py).

A blocking `pg_advisory_lock` would hold a snapshot as long as it waits, and CREATE INDEX CONCURRENTLY in the run
that holds the lock waits for exactly such snapshots: the two would wait for each other for ever. So the lock is
polled for, each time in a statement that ends at once.

If only the lock's connection ends, the run continues without the lock; it checks for that before each revision, and
before each commit (`MigrationLock.require`).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alembic_online.errors import LockLost, LocksNotObtained
from alembic_online.runs.connection import RUN


def lock_key(name: str) -> int:
    """The key of an advisory lock, a bigint, made from a name of any length."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


LOCK_KEY = lock_key("alembic_online")  # the same for all apps: a database has one schema, whoever migrates it
POLL_SECONDS = 0.25
# The session of a killed process ends by itself within half a second.
LEFTOVER_SECONDS = 3.0

log = structlog.get_logger(__name__)

_TRY = text("SELECT pg_try_advisory_lock(:key)")
# The lock's row in pg_locks.
_LOCK = (
    " locktype = 'advisory' AND granted AND objsubid = 1"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = CAST(:key AS bigint) >> 32 AND objid::bigint = CAST(:key AS bigint) & 4294967295"
)
_HOLDER = text(
    "SELECT format('pid %s (%s, connected since %s)', pid, application_name, backend_start::timestamptz(0))"  # noqa: S608
    f" FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE {_LOCK}"
)
_IS_HELD = text(f"SELECT EXISTS (SELECT FROM pg_locks WHERE pid = :pid AND {_LOCK})")  # noqa: S608 - a constant
# The previous holder of the lock is gone, and its statements should be, too.
_LEFTOVERS = text(
    "SELECT pid, format('pid %s (%s, since %s)', pid, state, query_start::timestamptz(0)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND state <> 'idle'"
    " AND right(application_name, length(:name) + 2) IN (:name, ': ' || :name)"  # after the URL's own, if any
).bindparams(name=RUN)
_END = text("SELECT pg_terminate_backend(:pid)")


@dataclass(frozen=True)
class MigrationLock:
    """The lock, held, and the connection that holds it, which is also used to watch other sessions."""

    connection: AsyncConnection
    pid: int

    def require(self, connection: Connection) -> None:
        """LockLost if it is no longer held; asked on another connection, because the lock's own may be gone."""
        if not connection.scalar(_IS_HELD, {"key": LOCK_KEY, "pid": self.pid}):
            raise LockLost(
                "the migration lock was lost with its connection: the revision under way is rolled back; run this again"
            )


@asynccontextmanager
async def migration_lock(engine: AsyncEngine, timeout: float) -> AsyncIterator[MigrationLock]:
    """Hold the migration lock; LocksNotObtained after `timeout` seconds."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await _acquire(connection, timeout)
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        await _end_leftovers(connection)
        yield MigrationLock(connection, pid)  # closing the connection frees the lock


async def find_holder(connection: AsyncConnection) -> str | None:
    """The session that holds the lock; None if there is none."""
    holder: str | None = await connection.scalar(_HOLDER, {"key": LOCK_KEY})
    return holder


async def _acquire(connection: AsyncConnection, timeout: float) -> None:
    deadline = asyncio.get_running_loop().time() + timeout
    holder = None
    while not await connection.scalar(_TRY, {"key": LOCK_KEY}):
        seen = await find_holder(connection)
        if seen and seen != holder:
            log.info("waiting for another migrator", holder=seen, seconds=timeout)
            holder = seen
        if asyncio.get_running_loop().time() > deadline:
            raise LocksNotObtained(
                f"another migrator has been at work for longer than {timeout:g} s: {holder}. "
                "Nothing was changed; run this again when it has ended"
            )
        await asyncio.sleep(POLL_SECONDS)


async def _end_leftovers(connection: AsyncConnection) -> None:
    """Wait for the statements of a killed run to end, and terminate the sessions of those that don't."""
    deadline = asyncio.get_running_loop().time() + LEFTOVER_SECONDS
    said = False
    while left := (await connection.execute(_LEFTOVERS)).all():
        if not said:
            log.warning("waiting for what an earlier run left at work", sessions=[session for _, session in left])
            said = True
        if asyncio.get_running_loop().time() > deadline:
            for pid, session in left:
                log.warning("ending what an earlier run left at work", session=session)
                await connection.execute(_END, {"pid": pid})
            deadline += LEFTOVER_SECONDS
        await asyncio.sleep(POLL_SECONDS)
