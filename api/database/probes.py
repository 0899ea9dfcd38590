"""Queries that check whether the database is well: one answer serves all probes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from api.errors import Unavailable

# A probe gives up soon after: a clear "no" within 2 s is better than no answer.
ANSWER_SECONDS = 1.0
GOOD_FOR_SECONDS = 0.5

Question = Callable[..., Awaitable[None]]
"""Of a session, and further arguments. Raises an exception if the answer is no; Unavailable says why."""

Asked = tuple[Question, tuple[Any, ...]]


class Probes:
    """Questions to the database, on sessions of their own. One answer serves all probes that ask while it is awaited,
    or within GOOD_FOR_SECONDS, so that many probes can't delay those of a load balancer.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions
        self._asked: dict[Asked, tuple[float, asyncio.Task[datetime]]] = {}
        self.at_work: set[asyncio.Task[None]] = set()
        """What has a session, also those whose answer nobody waits for any more. They are to be ended with the rest."""

    async def ask(self, question: Question, *arguments: Any) -> datetime:
        """When the question was asked, if the answer is yes. Its exception if not; Unavailable if it takes too long."""
        now, asked = asyncio.get_running_loop().time(), (question, arguments)
        since, answer = self._asked.get(asked, (now, None))
        if answer is None or (answer.done() and now - since >= GOOD_FOR_SECONDS):
            answer = asyncio.create_task(self._put(asked))
            answer.add_done_callback(_retrieve)  # nobody may wait for it any more
            self._asked[asked] = now, answer
        await asyncio.wait({answer})  # which does not cancel it if one that waits is cancelled
        if error := answer.exception():
            raise error.with_traceback(None)  # each raise adds to it
        return answer.result()

    async def _put(self, asked: Asked) -> datetime:
        """In a task of its own, because giving up a connection that hangs takes a while, and no answer must wait."""

        async def in_session() -> None:
            question, arguments = asked
            async with self._sessions() as session:
                await question(session, *arguments)

        asked_at = datetime.now(UTC)
        task = asyncio.create_task(in_session())
        self.at_work.add(task)  # the event loop itself keeps no reference to it
        task.add_done_callback(self.at_work.discard)
        done, _ = await asyncio.wait({task}, timeout=ANSWER_SECONDS)
        if not done:
            task.cancel()
            raise Unavailable(f"The database has not answered within {ANSWER_SECONDS:g} s")
        task.result()
        return asked_at


def _retrieve(answer: asyncio.Task[datetime]) -> None:
    """Keep asyncio from complaining that nobody has looked at its exception."""
    if not answer.cancelled():
        answer.exception()
