"""Requests that a client may send again, because it does not know their result: each is done once.

A key is claimed in a committed row before the work begins. The claim is a lease: if the worker dies, the next request
takes over once the lease has expired. If the first one is still at work then, its work is rolled back.
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
# Longer than a request takes, so that no other begins while it is at work.
LEASE = timedelta(seconds=60)


@dataclass(frozen=True)
class Answer:
    """The answer to a request; `body` is JSON."""

    status: int
    body: str
    location: str | None = None


@dataclass(frozen=True)
class Request:
    """What a user asks for under a key; with the same operation and body, it is the same request."""

    user_id: UUID
    key: str
    operation: str
    body: str = ""

    @property
    def hash(self) -> str:
        """What the database stores of it."""
        return hashlib.sha256(f"{self.operation}\n{self.body}".encode()).hexdigest()


Keep = Callable[[AsyncSession, Answer], Awaitable[None]]
"""Stores the answer, in the transaction of the work; InProgress if another request has taken over."""


async def once(
    transactions: Transactions, request: Request | None, work: Callable[[Keep], Awaitable[Answer]]
) -> Answer:
    """The answer to `request`: from `work`, or the stored one. Without a request, `work` is just done.

    InProgress while the same request is under way, Unprocessable if the key was used for another one. NotFound and
    Conflict are stored as answers, too; after any other failure, the key is free again.
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
        with suppress(InProgress, Unavailable, *DATABASE_ERRORS):  # the claim expires by itself, and `error` says more
            async with transactions() as session:
                if isinstance(error, NotFound | Conflict) and not isinstance(error, InProgress):
                    await keep(session, Answer(error.status, json.dumps({"detail": error.detail})))
                else:
                    await session.execute(delete(IdempotencyKey).where(*_claimed(request, claimed)))
        raise


async def _keep_nothing(session: AsyncSession, answer: Answer) -> None:
    pass


async def _claim(transactions: Transactions, request: Request) -> Answer | datetime:
    """The time until which this worker has claimed `request`, or the answer that it already has."""
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
        message = "was used for another request: use a new one"
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
