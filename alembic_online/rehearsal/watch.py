"""The locks of a statement that can't be in a transaction, seen while it runs.

It may end within a millisecond, so it is held up: another session holds locks that it has to wait for, first when it
begins and then, if it waits for all writers of a table, a second time. Each time, the locks that it holds and those
that it requests are read, and then it is released.
"""

import asyncio
from contextlib import AsyncExitStack, suppress

import asyncpg

from alembic_online.rehearsal.scratch import session
from alembic_online.rehearsal.snapshot import LOCKS
from stack_settings import DatabaseUrl

POLL_SECONDS = 0.001
_IS_WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {pid} AND NOT granted)"
# A session that requests a lock stronger than those for reads and writes of rows waits for the second one; a session
# that waits until nobody writes to the table, as CREATE INDEX CONCURRENTLY does, waits for the first.
_HOLD_UP = (
    "LOCK TABLE {tables} IN ROW EXCLUSIVE MODE",
    "SAVEPOINT first",
    "LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE",
)
_LET_GO = ("ROLLBACK TO SAVEPOINT first", "ROLLBACK")


class Watch:
    """A second session, which sees what the session `pid` locks."""

    def __init__(self, url: DatabaseUrl, pid: int) -> None:
        self.url, self.pid = url, pid
        self.modes: set[tuple[int, str]] = set()
        self._stack = AsyncExitStack()
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, tables: list[str]) -> None:
        """Begin to watch; a statement that locks one of these tables is held up until its locks were seen."""
        eyes = await self._stack.enter_async_context(session(self.url))
        if tables:
            await eyes.execute("BEGIN")
            for statement in _HOLD_UP:
                await eyes.execute(statement.format(tables=", ".join(tables)))
        self._task = asyncio.create_task(self._look(eyes, list(_LET_GO) if tables else []))

    async def end(self) -> set[tuple[int, str]]:
        """End the watch; the oid and mode of each lock that was seen."""
        self._over.set()
        if self._task is not None:
            await self._task
        await self._stack.aclose()
        return self.modes

    async def _look(self, eyes: asyncpg.Connection, let_go: list[str]) -> None:
        while not self._over.is_set():
            is_waiting = await eyes.fetchval(_IS_WAITING.format(pid=self.pid))
            self.modes |= {(row[0], row[1]) for row in await eyes.fetch(LOCKS.format(pid=self.pid))}
            if is_waiting and let_go:
                await eyes.execute(let_go.pop(0))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), POLL_SECONDS)
