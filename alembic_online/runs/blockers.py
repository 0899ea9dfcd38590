"""Blockers: the sessions that a waiting session waits for, observed while it waits."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from alembic_online.log import is_debugging

POLL_SECONDS = 0.1
POLLS_BEFORE_NAMED = 20

log = structlog.get_logger(__name__)

# A session, as text. The query only with MIGRATOR_DEBUG=1: it may hold personal data.
SESSION = (
    "format('pid %s (%s, %s, since %s)%s', pid, coalesce(nullif(application_name, ''), backend_type),"
    " coalesce(state, 'working'), to_char(coalesce(query_start, backend_start), 'HH24:MI:SS'),"
    " CASE WHEN :with_query THEN ': ' || left(query, 200) END)"
)
_BLOCKERS = text(
    f"SELECT pid, {SESSION}, backend_type = 'autovacuum worker'"  # noqa: S608 - a constant
    " FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids(:pid))"
)


@dataclass
class Blockers:
    """The sessions that were seen blocking, as text, by pid."""

    sessions: dict[int, str] = field(default_factory=dict)
    autovacuum: bool = False

    @property
    def names(self) -> list[str]:
        """All of them, as text."""
        return list(self.sessions.values()) or ["sessions that ended before they could be named"]


@asynccontextmanager
async def watch(observer: AsyncConnection, pid: int) -> AsyncIterator[Blockers]:
    """While the block runs, note, on the connection `observer`, for which sessions the session `pid` waits.

    A session that blocks for long is logged at once; only statements that block nobody themselves wait so long.
    """
    seen = Blockers()
    over = asyncio.Event()
    polls: Counter[int] = Counter()

    async def poll() -> None:
        while not over.is_set():
            try:
                found = (await observer.execute(_BLOCKERS, {"pid": pid, "with_query": is_debugging()})).all()
            except DBAPIError:
                return  # its connection is gone, and with it the migration lock: the run will find out
            for blocker, description, is_autovacuum in found:
                seen.sessions[blocker] = description
                seen.autovacuum |= bool(is_autovacuum)
                polls[blocker] += 1
                if polls[blocker] == POLLS_BEFORE_NAMED:
                    log.warning("waiting for a session to end", session=description)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), POLL_SECONDS)

    task = asyncio.create_task(poll())
    try:
        yield seen
    finally:
        over.set()  # not cancelled: that would close the connection during a query, and with it lose the migration lock
        await task
