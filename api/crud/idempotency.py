"""Requests that a client may send again, because it does not know their result: each is done once.

A key is claimed in a committed row before the work begins, and the answer is stored in the transaction of the work:
neither ever exists without the other. The claim is a lease: if the worker dies, the next request takes over once the
lease has expired. If the first one is still at work then, its work is rolled back.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    Integer,
    Interval,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from api.database.driver import Database
from api.database.statements import Executor, Statement
from api.errors import InProgress, TooManyRequests, Unprocessable
from api.models.idempotency import IdempotencyKey
from api.models.users import User

KEPT_FOR = timedelta(hours=24)
# Longer than a request takes, so that no other begins while it is at work.
LEASE = timedelta(seconds=60)
# Of a user, at a time.
MAX_KEYS = 10_000
MAX_BYTES = 20_000_000  # of their answers
WAIT_SECONDS = 600


@dataclass(frozen=True)
class Answer:
    """The answer to a request; `body` is JSON, or empty."""

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


@dataclass(frozen=True)
class Claim:
    """A request that this worker is to do, until `until`."""

    request: Request
    until: datetime


_NOW = func.statement_timestamp()
_IS_THE_USERS = IdempotencyKey.user_id == bindparam("user_id", type_=Uuid)
_HAS_KEY = and_(_IS_THE_USERS, IdempotencyKey.key == bindparam("of_key"))
_IS_CLAIMED = and_(_HAS_KEY, IdempotencyKey.claimed_until == bindparam("until"), IdempotencyKey.status.is_(None))
_IS_OLD = IdempotencyKey.created_at <= _NOW - bindparam("kept_for", type_=Interval)
_HASH = bindparam("hash", type_=Text)
_HAS_DIED = and_(
    IdempotencyKey.status.is_(None), IdempotencyKey.claimed_until <= _NOW, IdempotencyKey.request_hash == _HASH
)
_FIRST = {"user_id": bindparam("user_id"), "key": bindparam("of_key"), "request_hash": _HASH}
_AGAIN = {"request_hash": _HASH, "status": null(), "response": null(), "location": null(), "created_at": _NOW}
_CLAIM = Statement(
    insert(IdempotencyKey)
    .values(_FIRST | {"claimed_until": _NOW + bindparam("lease", type_=Interval)})
    .on_conflict_do_update(
        index_elements=[IdempotencyKey.user_id, IdempotencyKey.key],
        set_=_AGAIN | {"claimed_until": _NOW + bindparam("lease", type_=Interval)},
        where=or_(_IS_OLD, _HAS_DIED),
    )
    .returning(IdempotencyKey.claimed_until),
    lambda until: until,
)
_LOCK_USER = Statement(
    select(User.id).where(User.id == bindparam("user_id", type_=Uuid)).with_for_update(key_share=True),
    lambda found: found,
)
_USED = Statement(
    select(
        func.count(), func.coalesce(func.sum(func.octet_length(IdempotencyKey.response)), literal_column("0"))
    ).where(_IS_THE_USERS),
    lambda keys, size: (keys, size),
)
_FOUND = Statement(
    select(IdempotencyKey.request_hash, IdempotencyKey.status, IdempotencyKey.response, IdempotencyKey.location).where(
        _HAS_KEY
    ),
    lambda *found: found,
)
_KEEP = Statement(
    update(IdempotencyKey)
    .where(_IS_CLAIMED)
    .values(
        status=bindparam("answered", type_=Integer), response=bindparam("body"), location=bindparam("at", type_=Text)
    )
    .returning(IdempotencyKey.key),
    lambda key: key,
)
_RELEASE = Statement(delete(IdempotencyKey).where(_IS_CLAIMED).returning(IdempotencyKey.key), lambda key: key)


async def claim(db: Database, request: Request) -> Claim | Answer:
    """The right to do `request`, or the answer that it already has.

    InProgress while the same request is under way, Unprocessable if the key was used for another one, TooManyRequests
    if the user has too many keys.
    """
    which = {"user_id": request.user_id, "of_key": request.key}
    async with db.begin() as transaction:
        await _LOCK_USER.first(transaction, user_id=request.user_id)  # one after the other, so that all are counted
        until = await _CLAIM.first(transaction, **which, hash=request.hash, kept_for=KEPT_FOR, lease=LEASE)
        if until is not None:
            keys, size = await _USED.first(transaction, user_id=request.user_id) or (0, 0)
            if keys > MAX_KEYS or size > MAX_BYTES:
                raise TooManyRequests("Too many Idempotency-Keys within 24 hours: wait, or send none", WAIT_SECONDS)
            return Claim(request, until)
        found = await _FOUND.first(transaction, **which)
    hashed, status, body, location = found or (request.hash, None, None, None)
    if hashed != request.hash:
        message = "was used for another request: use a new one"
        raise Unprocessable([{"type": "value", "loc": ["header", "Idempotency-Key"], "msg": message}])
    if status is None or body is None:
        raise InProgress("A request with this Idempotency-Key is under way: ask again in a moment")
    return Answer(status, body, location)


async def keep(transaction: Executor, claimed: Claim, answer: Answer) -> None:
    """Store the answer, in the transaction of the work; InProgress if another request has taken over.

    If the work has deleted the user, and so the key, there is nobody to answer again.
    """
    values = {"answered": answer.status, "body": answer.body, "at": answer.location}
    is_kept = await _KEEP.first(transaction, **_which(claimed), **values) is not None
    if not is_kept and await _LOCK_USER.first(transaction, user_id=claimed.request.user_id) is not None:
        raise InProgress("Another request with this Idempotency-Key has taken over: ask again in a moment")


async def release(db: Executor, claimed: Claim) -> None:
    """Free the key, unless its request is answered."""
    await _RELEASE.first(db, **_which(claimed))


def _which(claimed: Claim) -> dict[str, object]:
    return {"user_id": claimed.request.user_id, "of_key": claimed.request.key, "until": claimed.until}
