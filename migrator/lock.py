"""One migrator at a time: a session advisory lock, polled for on a connection of its own.

Guarantee: as long as this process and the lock's connection live, no other migrator is inside its block on the same
database. When either dies, Postgres frees the lock at once; a statement that the process had under way ends within
half a second (`client_connection_check_interval`, see connection.py).

A blocking `pg_advisory_lock` would hold a snapshot as long as it waits, and CREATE INDEX CONCURRENTLY in the run
that holds the lock waits for exactly such snapshots: the two would wait for each other for ever. So the lock is
asked for again and again, each time in a statement that ends at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from migrator.errors import LocksNotObtained

LOCK_KEY = int.from_bytes(b"zoo/alem")
POLL_SECONDS = 0.25

log = logging.getLogger(__name__)

_TRY = text("SELECT pg_try_advisory_lock(:key)")
_HOLDER = text(
    "SELECT format('pid %s (%s, connected since %s)', pid, application_name, backend_start::timestamptz(0))"
    " FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = CAST(:key AS bigint) >> 32 AND objid::bigint = CAST(:key AS bigint) & 4294967295"
)


@asynccontextmanager
async def migration_lock(engine: AsyncEngine, timeout: float) -> AsyncIterator[AsyncConnection]:
    """Hold the migration lock, on the connection given; LocksNotObtained after `timeout` seconds."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await _acquire(connection, timeout)
        yield connection  # closing the connection frees the lock


async def _acquire(connection: AsyncConnection, timeout: float) -> None:
    deadline = asyncio.get_running_loop().time() + timeout
    holder = None
    while not await connection.scalar(_TRY, {"key": LOCK_KEY}):
        seen = await connection.scalar(_HOLDER, {"key": LOCK_KEY})
        if seen and seen != holder:
            log.info("waiting for another migrator: %s", seen)
            holder = seen
        if asyncio.get_running_loop().time() > deadline:
            raise LocksNotObtained(
                f"another migrator is at work, for longer than {timeout:g} s: {holder}. "
                "Nothing was changed; run this again when it has ended"
            )
        await asyncio.sleep(POLL_SECONDS)
