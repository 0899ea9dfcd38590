"""Requests that a client may send again, because it does not know what came of them: each is done once.

A key is claimed in a committed row before the work begins. The claim is a lease: where the worker dies, the next
request takes over when it has run out, and what the first one does then in spite of all is rolled back.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.old_rows import forget
from api.database.engine import Transactions
from api.database.errors import DATABASE_ERRORS
from api.errors import Conflict, InProgress, NotFound, Unavailable, Unprocessable
from api.models import IdempotencyKey

KEPT_FOR = timedelta(hours=24)
# Longer than a request takes, so that nobody else begins while it is at work.
LEASE = timedelta(seconds=60)


@dataclass(frozen=True)
class Answer:
    """What a request was answered; `body` is JSON."""

    status: int
    body: str
    location: str | None = None


@dataclass(frozen=True)
class Request:
    """What a user asks for under a key; of the same operation and body, it is the same request."""

    user_id: UUID
    key: str
    operation: str
    body: str = ""

    @property
    def hash(self) -> str:
        """What the database knows of it."""
        return hashlib.sha256(f"{self.operation}\n{self.body}".encode()).hexdigest()


Keep = Callable[[AsyncSession, Answer], Awaitable[None]]
"""Writes the answer down, in the transaction of the work; InProgress where another request has taken over."""


async def once(
    transactions: Transactions, request: Request | None, work: Callable[[Keep], Awaitable[Answer]]
) -> Answer:
    """The answer to `request`: that of `work`, or the one that it had before. Without a request, `work` is just done.

    InProgress while the same one is under way, Unprocessable where the key was used for another. An answer to keep is
    also that the record is missing, or its state does not allow it. After any other failure the key is as new.
    """
    if request is None:
        return await work(_keep_nothing)
    claimed = await _claim(transactions, request)
    if isinstance(claimed, Answer):
        return claimed

    async def keep(session: AsyncSession, answer: Answer) -> None:
        kept = await session.execute(
            update(IdempotencyKey)
            .where(*_claimed(request, claimed))
            .values(status=answer.status, response=answer.body, location=answer.location)
            .returning(IdempotencyKey.key)
        )
        if kept.one_or_none() is None:
            raise InProgress("Another request with this Idempotency-Key has taken over: ask again in a moment")

    try:
        return await work(keep)
    except Exception as error:
        with suppress(InProgress, Unavailable, *DATABASE_ERRORS):  # the claim ends by itself, and `error` says more
            async with transactions() as session:
                if isinstance(error, NotFound | Conflict) and not isinstance(error, InProgress):
                    await keep(session, Answer(error.status, json.dumps({"detail": error.detail})))
                else:
                    await session.execute(delete(IdempotencyKey).where(*_claimed(request, claimed)))
        raise


async def _keep_nothing(session: AsyncSession, answer: Answer) -> None:
    pass


async def _claim(transactions: Transactions, request: Request) -> Answer | datetime:
    """The moment until which `request` is this worker's, or the answer that it has."""
    async with transactions() as session:
        now = func.statement_timestamp()
        is_old = IdempotencyKey.created_at <= now - KEPT_FOR
        await forget(session, IdempotencyKey, is_old)
        has_died = and_(
            IdempotencyKey.status.is_(None),
            IdempotencyKey.claimed_until <= now,
            IdempotencyKey.request_hash == request.hash,
        )
        first = insert(IdempotencyKey).values(
            user_id=request.user_id, key=request.key, request_hash=request.hash, claimed_until=now + LEASE
        )
        claimed: datetime | None = await session.scalar(
            first.on_conflict_do_update(
                index_elements=[IdempotencyKey.user_id, IdempotencyKey.key],
                set_={
                    "request_hash": request.hash,
                    "claimed_until": now + LEASE,
                    "status": None,
                    "response": None,
                    "location": None,
                    "created_at": now,
                },
                where=or_(is_old, has_died),
            ).returning(IdempotencyKey.claimed_until)
        )
        if claimed is not None:
            return claimed
        found = await session.get(IdempotencyKey, (request.user_id, request.key))
    if found is not None and found.request_hash != request.hash:
        message = "was used for another request: take a new one"
        raise Unprocessable([{"type": "value", "loc": ["header", "Idempotency-Key"], "msg": message}])
    if found is None or found.status is None or found.response is None:
        raise InProgress("A request with this Idempotency-Key is under way: ask again in a moment")
    return Answer(found.status, found.response, found.location)


def _claimed(request: Request, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyKey.user_id == request.user_id,
        IdempotencyKey.key == request.key,
        IdempotencyKey.claimed_until == until,
        IdempotencyKey.status.is_(None),
    )
