"""Who is in the way: the sessions that a waiting session waits for, seen while it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

POLL_SECONDS = 0.1

# No query text: it may hold personal data.
_BLOCKERS = text(
    "SELECT pid, format('pid %s (%s, %s, since %s)', pid, coalesce(nullif(application_name, ''), backend_type),"
    " coalesce(state, 'working'), to_char(coalesce(query_start, backend_start), 'HH24:MI:SS')),"
    " backend_type = 'autovacuum worker'"
    " FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids(:pid))"
)


@dataclass
class Blockers:
    """What was seen in the way, by pid, as a person reads it."""

    sessions: dict[int, str] = field(default_factory=dict)
    autovacuum: bool = False

    def __str__(self) -> str:
        return ", ".join(self.sessions.values()) or "sessions that were gone before they could be named"


@asynccontextmanager
async def watch(observer: AsyncConnection, pid: int) -> AsyncIterator[Blockers]:
    """Note, on the connection `observer`, whom the session `pid` waits for as long as the block runs."""
    seen = Blockers()
    over = asyncio.Event()

    async def poll() -> None:
        while not over.is_set():
            for blocker, description, is_autovacuum in await observer.execute(_BLOCKERS, {"pid": pid}):
                seen.sessions[blocker] = description
                seen.autovacuum |= bool(is_autovacuum)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), POLL_SECONDS)

    task = asyncio.create_task(poll())
    try:
        yield seen
    finally:
        over.set()  # not by cancelling: that would end the connection in the middle of a query, and the lock with it
        await task
