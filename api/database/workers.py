"""Which releases of the api are at work, for the migrator to see: by sessions, and by a row for each process.

While a release is at work, the migrator takes nothing away that the release uses. It sees the sessions that are named
after it; but behind a pooler, sessions belong to nobody. So each process also keeps a row in the migrator's table
`migration_workers`: it says every ten seconds that it was seen, and is deleted at the end. The migrator does not count
a row that has not been seen for 30 s: then its process was killed, or can't reach the database.

Guarantee: keeping the row never delays or fails a request. It is retried as long as the database is away, and while the
table is not there, because no migrator of this release has run yet.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.errors import DATABASE_ERRORS, explain_database_error, reason_of
from api.errors import Unavailable
from api.tasks import begin, end

SESSION_SECONDS = 1
SEEN_SECONDS = 10
RETRY_SECONDS = 1
END_SECONDS = 1  # that deleting the row may take

log = structlog.get_logger(__name__)

_IS_THERE = text("SELECT to_regclass('migration_workers') IS NOT NULL")
_SEEN = text(
    "INSERT INTO migration_workers (id, application, release, host) VALUES (:id, :application, :release, :host)"
    " ON CONFLICT (id) DO UPDATE SET seen_at = DEFAULT"
)
_END = text("DELETE FROM migration_workers WHERE id = :id")
# Rows of processes that were killed.
_FORGET = text("DELETE FROM migration_workers WHERE seen_at < clock_timestamp() - interval '1 hour'")


@asynccontextmanager
async def seen(engine: AsyncEngine, release: str, application: str = "api") -> AsyncIterator[None]:
    """Let the migrator see that this release is at work, until the block ends. `engine`'s sessions have its name."""
    row = uuid4()
    tasks = [
        begin(_keep_session(engine)),
        begin(_keep_row(engine, row, application, release)),
    ]
    try:
        yield
    finally:
        await end(*tasks)
        with suppress(Unavailable, *DATABASE_ERRORS):
            async with asyncio.timeout(END_SECONDS), engine.begin() as connection:
                if await connection.scalar(_IS_THERE):
                    await connection.execute(_END, {"id": row})


async def _keep_session(engine: AsyncEngine) -> None:
    """Keep a connection open, from the first moment possible, even if no request needs it."""
    while True:
        with suppress(Unavailable, *DATABASE_ERRORS):
            async with engine.connect():
                pass
        await asyncio.sleep(SESSION_SECONDS)


async def _keep_row(engine: AsyncEngine, row: UUID, application: str, release: str) -> None:
    values = {"id": row, "application": application, "release": release, "host": socket.gethostname()}
    is_first = True
    while True:
        pause: float = RETRY_SECONDS
        try:
            async with engine.begin() as connection:
                if await connection.scalar(_IS_THERE):
                    await connection.execute(_SEEN, values)
                    if is_first:
                        await connection.execute(_FORGET)
                        is_first = False
            pause = SEEN_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - so that not all write at once
        except Unavailable:
            pass
        except DATABASE_ERRORS as error:
            if explain_database_error(error) is None:  # no right to it, say
                log.warning("the migrator can't see this worker", reason=reason_of(error))
                pause = SEEN_SECONDS
        await asyncio.sleep(pause)
