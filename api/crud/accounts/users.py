"""Users: their SQL, in the form of fastapi-users's store, on our session."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn
from uuid import UUID

from fastapi_users.db import BaseUserDatabase
from fastapi_users.exceptions import UserAlreadyExists
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.database.json_rows import Page
from api.enums.users import UserType
from api.errors import Conflict, NotFound
from api.http.etags import IfMatch
from api.models.users import AccessToken, User
from api.schemas.users import UserQuery, UserRead

Check = Callable[[], Awaitable[None]]
"""Raises an error if the caller may no longer do what was begun."""

UNIQUE_EMAIL = "uq_users_lower_email"


class UserStore(BaseUserDatabase[User, UUID]):
    """The users, for fastapi-users's manager. It flushes; the request commits."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, id: UUID) -> User | None:  # noqa: A002 - fastapi-users's name
        """The user `id`."""
        return await self.session.get(User, id)

    async def get_locked(self, user_id: UUID) -> User | None:
        """The newest state of the user `user_id`, locked against changes until this transaction ends."""
        statement = select(User).where(User.id == user_id).with_for_update(key_share=True)
        return await self.session.scalar(statement)

    async def get_by_email(self, email: str) -> User | None:
        """The user with this address; case is ignored."""
        if "\x00" in email:  # Postgres can't even compare it
            return None
        return await self.session.scalar(select(User).where(func.lower(User.email) == email.lower()))

    async def create(self, create_dict: Mapping[str, Any]) -> User:
        """A new user; UserAlreadyExists if one has the address, or gets it at this moment."""
        values = {"id": uuid7(), **create_dict}
        statement = insert(User).values(values).on_conflict_do_nothing().returning(User)
        user = await self.session.scalar(statement)
        if user is None:
            raise UserAlreadyExists
        return user

    async def update(self, user: User, update_dict: Mapping[str, Any]) -> User:
        """Change a user. A new password or a deactivation revokes all of the user's tokens.

        UserAlreadyExists if another user has the address.
        """
        for field, value in update_dict.items():
            setattr(user, field, value)
        try:
            await self.session.flush()  # before the tokens: a concurrent sign-in waits, and its token is deleted
        except IntegrityError as error:
            _explain(error)
        if "hashed_password" in update_dict or not user.is_active:
            await self.session.execute(delete(AccessToken).where(AccessToken.user_id == user.id))
        return user

    async def delete(self, user: User) -> None:
        """Delete a user, tokens included."""
        await self.session.execute(delete(User).where(User.id == user.id))


def _explain(error: IntegrityError) -> NoReturn:
    if UNIQUE_EMAIL in str(error.orig):
        raise UserAlreadyExists from error
    raise error


async def list_page(session: AsyncSession, query: UserQuery) -> Page[list[User]]:
    """A page of the users."""
    statement = select(User).order_by(User.id).limit(query.limit + 1)  # the extra one shows whether there are more
    if query.after is not None:
        statement = statement.where(User.id > query.after)
    if query.email is not None:
        statement = statement.where(func.lower(User.email) == query.email.lower())
    found = list(await session.scalars(statement))
    records = found[: query.limit]
    return Page(records, records[-1].id if len(found) > query.limit else None)


async def get(session: AsyncSession, user_id: UUID) -> User:
    """The user `user_id`; NotFound without one."""
    return _found(await UserStore(session).get(user_id), user_id)


def _found(user: User | None, user_id: UUID) -> User:
    if user is None:
        raise NotFound(f"No user {user_id}")
    return user


async def delete_user(
    session: AsyncSession, user_id: UUID, if_match: IfMatch, require_still_allowed: Check | None = None
) -> None:
    """Delete a user: NotFound without one, Conflict if it is the last admin, PreconditionFailed if it is not as the
    client has seen it. With the user go their tokens, keys and addresses; what else they have made stays, without them.
    """
    await keep_an_admin(session, user_id)
    store = UserStore(session)
    user = _found(await store.get_locked(user_id), user_id)
    if require_still_allowed is not None:
        await require_still_allowed()
    require_match(user, if_match)
    await store.delete(user)


def require_match(user: User, if_match: IfMatch) -> None:
    """PreconditionFailed if the user is not as the client has seen it."""
    if if_match:
        if_match.require(UserRead.model_validate(user))


async def keep_an_admin(session: AsyncSession, leaving: UUID) -> None:
    """Make sure that the zoo has an active admin besides `leaving`, and keeps one; Conflict if it has none.

    All admins are locked, always in the same order: if two remove each other at the same moment, one is refused.
    """
    admins = select(User.id).where(User.type == UserType.ADMIN, User.is_active).order_by(User.id)
    if set(await session.scalars(admins.with_for_update(key_share=True))) == {leaving}:
        raise Conflict("This is the last active admin: make another user an admin first")
