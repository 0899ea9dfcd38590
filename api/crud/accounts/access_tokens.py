"""Access tokens, which signed-in users send with each request. Only the client has one; the database has its hash."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.database.statements import Executor, Statement
from api.enums.users import UserType
from api.models.users import AccessToken, User

MAX_TOKENS = 100  # of a user


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who is signed in, as every request looks it up in one query."""

    id: UUID
    type: UserType

    @classmethod
    def of(cls, user_id: UUID, type_: str) -> "Caller":
        """The caller in a row."""
        return cls(user_id, UserType(type_))

    @property
    def sees_all(self) -> bool:
        """Whether the caller may also see what is others'."""
        return self.type.includes(UserType.KEEPER)


def _is_good(token_hash: Any, lifetime: Any) -> tuple[Any, ...]:
    not_expired = AccessToken.created_at > func.statement_timestamp() - lifetime
    return AccessToken.token == token_hash, not_expired, User.is_active


_OF_ITS_USER = AccessToken.user_id == User.id
_CALLER = Statement(
    select(User.id, User.type)
    .join(AccessToken, _OF_ITS_USER)
    .where(*_is_good(bindparam("token_hash"), bindparam("lifetime", type_=Interval))),
    Caller.of,
)


async def find_caller(db: Executor, token: str, lifetime: timedelta) -> Caller | None:
    """The active user with this token, unless it is older than `lifetime`."""
    return await _CALLER.first(db, token_hash=hash_token(token), lifetime=lifetime)


async def find_type(session: AsyncSession, token: str, lifetime: timedelta) -> UserType | None:
    """The type of the same user, as seen by a session that may have changed it."""
    statement = select(User.type).join(AccessToken, _OF_ITS_USER)
    return await session.scalar(statement.where(*_is_good(hash_token(token), lifetime)))


async def create(session: AsyncSession, user_id: UUID) -> str:
    """A new token for the user, who is locked. Of more than MAX_TOKENS, the oldest ends."""
    token = secrets.token_urlsafe()
    session.add(AccessToken(token=hash_token(token), user_id=user_id))
    await session.flush()  # before the others are deleted
    of_user = select(AccessToken.token).where(AccessToken.user_id == user_id)
    too_many = of_user.order_by(AccessToken.created_at.desc(), AccessToken.token).offset(MAX_TOKENS)
    await session.execute(delete(AccessToken).where(AccessToken.token.in_(too_many)))
    return token


async def end(session: AsyncSession, token: str) -> None:
    """Delete this token: whoever uses it is signed out."""
    await session.execute(delete(AccessToken).where(AccessToken.token == hash_token(token)))


def hash_token(token: str) -> str:
    """The hash of a token, which the database stores. Plain SHA-256 is enough: nobody can guess 32 random bytes."""
    return hashlib.sha256(token.encode()).hexdigest()
