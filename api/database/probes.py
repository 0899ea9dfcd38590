"""What is asked of the database to tell whether all is well: once for all who want to know."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.errors import Unavailable

# Whoever asks gives up soon after: better a clear "no" within 2 s than none.
ANSWER_SECONDS = 1.0
GOOD_FOR_SECONDS = 0.5

Question = Callable[[AsyncSession], Awaitable[None]]
"""Fails where the answer is no."""


class Probes:
    """Questions to the database, on sessions of their own. One answer serves all who ask while it is awaited, or within
    GOOD_FOR_SECONDS: a crowd that asks does not keep a load balancer from being answered.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        self._asked: dict[Question, tuple[float, asyncio.Task[datetime]]] = {}
        self._abandoned: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> datetime:
        """When the question was put that was answered well; the failure, or Unavailable where that takes too long."""
        now = asyncio.get_running_loop().time()
        since, answer = self._asked.get(question, (now, None))
        if answer is None or (answer.done() and now - since >= GOOD_FOR_SECONDS):
            answer = asyncio.create_task(self._put(question))
            self._asked[question] = now, answer
        await asyncio.wait({answer})  # which does not end it with one of those who wait
        if error := answer.exception():
            raise error.with_traceback(None)  # to which each adds its own
        return answer.result()

    async def _put(self, question: Question) -> datetime:
        """In a task of its own: to give up a connection that hangs takes a while, for which no answer must wait."""

        async def in_session() -> None:
            async with self._sessions() as session:
                await question(session)

        asked_at = datetime.now(UTC)
        task = asyncio.create_task(in_session())
        done, _ = await asyncio.wait({task}, timeout=ANSWER_SECONDS)
        if not done:
            self._abandoned.add(task)  # the event loop itself keeps no hold of it
            task.add_done_callback(self._abandoned.discard)
            task.cancel()
            raise Unavailable(f"The database has not answered within {ANSWER_SECONDS:g} s")
        task.result()
        return asked_at
