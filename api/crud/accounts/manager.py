"""fastapi-users's manager, with our rules for passwords, and without hashing on the event loop."""

import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import jwt
from fastapi import Request
from fastapi_users.exceptions import (
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyVerified,
    UserInactive,
    UserNotExists,
)
from fastapi_users.jwt import decode_jwt, generate_jwt
from fastapi_users.manager import BaseUserManager, UUIDIDMixin
from sqlalchemy.ext.asyncio import AsyncSession

from api.background import Background
from api.crud.accounts.passwords import hash_password, name_client, normalized
from api.crud.accounts.sign_ins import let_in
from api.crud.accounts.users import Check, UserStore, keep_an_admin, require_match
from api.enums.users import UserType
from api.errors import NotFound, Unprocessable
from api.external_services.mail import Mail
from api.http.etags import IfMatch
from api.models.users import User
from api.schemas.users import UserCreate, UserUpdate

TOKEN_LIFETIME = timedelta(hours=1)
VALID = f"It is good for {TOKEN_LIFETIME // timedelta(minutes=1)} minutes, once. If you did not ask for it, do nothing."

CHANGED = """The {what} of your account at the zoo was changed.

If it was not you, set a new password by POST /auth/forgot-password, or ask the zoo for help.
"""

Tell = Callable[[str, str, str], None]
"""Sends a mail, with a subject and a text, once all is committed."""


class UserManager(UUIDIDMixin, BaseUserManager[User, UUID]):
    """Creates and changes accounts. It flushes; the request commits.

    Unlike fastapi-users's own methods, these never hash a password on the event loop, or while they hold a database
    connection.
    """

    user_db: UserStore

    def __init__(self, session: AsyncSession, token_secret: str, mail: Mail, background: Background) -> None:
        super().__init__(UserStore(session))
        self.session = session
        self.mail = mail
        self.background = background
        self.reset_password_token_secret = self.verification_token_secret = token_secret
        self.reset_password_token_lifetime_seconds = int(TOKEN_LIFETIME.total_seconds())
        self.verification_token_lifetime_seconds = int(TOKEN_LIFETIME.total_seconds())

    async def create(self, user_create: UserCreate, *, safe: bool) -> User:  # type: ignore[override]  # our schema
        """A new user; UserAlreadyExists, or Unprocessable for the password. With `safe`, always a visitor."""
        await self.validate_password(user_create.password, user_create)
        name_client(user_create.email.lower())
        values = {"email": user_create.email, "hashed_password": await hash_password(user_create.password)}
        if not safe and user_create.type is not None:
            values["type"] = user_create.type
        return await self.user_db.create(values)

    async def validate_password(self, password: str, user: Any) -> None:
        """Unprocessable if the password is the address, which the schema can't check."""
        if normalized(password).casefold() == normalized(user.email).casefold():
            raise Unprocessable([{"type": "value", "loc": ["body", "password"], "msg": "must not be the address"}])

    async def change(
        self, user_id: UUID, changes: UserUpdate, if_match: IfMatch, require_still_allowed: Check, tell: Tell
    ) -> User:
        """Change what `changes` sets, which leaves the rest MISSING: NotFound, UserAlreadyExists, Unprocessable,
        Conflict for the last admin, or PreconditionFailed if the user is not as the client has seen them.

        A new address or password is told to the address of before.

        Hashing a password takes a while, in which no connection is held; `require_still_allowed` then checks whether
        the caller may still do this.
        """
        values = changes.model_dump(exclude={"current_password"})
        password = values.pop("password", None)
        if password is not None:
            values["hashed_password"] = await hash_password(password)
        if values.get("type", UserType.ADMIN) is not UserType.ADMIN or values.get("is_active") is False:
            await keep_an_admin(self.session, user_id)
        user = await self.user_db.get_locked(user_id)
        await require_still_allowed()
        if user is None:
            raise NotFound(f"No user {user_id}")
        require_match(user, if_match)
        address, changed = user.email, ["password"] if password is not None else []
        if values.get("email", user.email) != user.email:
            values["is_verified"] = values.get("is_verified", False)
            changed.insert(0, "address")
        user = await self.user_db.update(user, values)
        if password is not None:
            await self.validate_password(password, user)
        if changed:
            what = " and the ".join(changed)
            tell(address, f"The {what} of your account at the zoo", CHANGED.format(what=what))
        return user

    async def mail_reset_token(self, email: str) -> None:
        """Mail a token for a new password to the user with this address, if there is one who can use it."""
        with suppress(UserNotExists, UserInactive):
            await self.forgot_password(await self.get_by_email(email))

    async def mail_verify_token(self, email: str) -> None:
        """Mail a token to verify this address, if there is a user with it who can use it."""
        with suppress(UserNotExists, UserInactive, UserAlreadyVerified):
            await self.request_verify(await self.get_by_email(email))

    async def forgot_password(self, user: User, request: Request | None = None) -> None:
        """Mail a token that permits setting a new password; UserInactive if the user may not."""
        if not user.is_active:
            raise UserInactive
        claims = {
            "sub": str(user.id),
            "password_fgpt": _fingerprint(user),
            "aud": self.reset_password_token_audience,
        }
        lifetime = self.reset_password_token_lifetime_seconds
        token = generate_jwt(claims, self.reset_password_token_secret, lifetime)
        await self.on_after_forgot_password(user, token, request)

    async def reset_password(self, token: str, password: str, address: str) -> None:  # type: ignore[override]
        """Set a new password; InvalidResetPasswordToken if the token is invalid, was used, or is too old.

        The client's address is known to the user from then on.
        """
        user_id, fingerprint = self._read(token, self.reset_password_token_audience, "password_fgpt")
        if user_id is None:
            raise InvalidResetPasswordToken
        name_client(user_id)
        hashed = await hash_password(password)
        user = await self.user_db.get_locked(user_id)
        # The fingerprint is of the old password and the address: after a change of either it does not match.
        if (
            user is None
            or not user.is_active
            or not hmac.compare_digest(fingerprint.encode(), _fingerprint(user).encode())
        ):
            raise InvalidResetPasswordToken
        await self.validate_password(password, user)
        await let_in(self.session, await self.user_db.update(user, {"hashed_password": hashed}), address)

    async def verify(self, token: str, request: Request | None = None) -> User:  # noqa: ARG002
        """Mark the address as verified; InvalidVerifyToken if the token is not for the current address."""
        user_id, email = self._read(token, self.verification_token_audience, "email")
        user = await self.user_db.get_locked(user_id) if user_id else None
        if user is None or not user.is_active or user.email != email:
            raise InvalidVerifyToken
        if user.is_verified:
            raise UserAlreadyVerified
        return await self.user_db.update(user, {"is_verified": True})

    def _read(self, token: str, audience: str, claim: str) -> tuple[UUID | None, str]:
        """The user and the claim in a mailed token; None for the user if the token is not ours, or too old."""
        try:
            claims = decode_jwt(token, self.reset_password_token_secret, [audience])
            return UUID(claims["sub"]), str(claims[claim])
        except (jwt.PyJWTError, KeyError, ValueError):
            return None, ""

    async def on_after_forgot_password(self, user: User, token: str, request: Request | None = None) -> None:  # noqa: ARG002
        """Send the token."""
        text = f"To set a new password, send this token to POST /auth/reset-password:\n\n{token}\n\n{VALID}\n"
        await self.background.start(partial(self.mail.send, user.email, "A new password for the zoo", text))

    async def on_after_request_verify(self, user: User, token: str, request: Request | None = None) -> None:  # noqa: ARG002
        """Send the token."""
        text = f"To show that this address is yours, send this token to POST /auth/verify:\n\n{token}\n\n{VALID}\n"
        await self.background.start(partial(self.mail.send, user.email, "Your address at the zoo", text))


def _fingerprint(user: User) -> str:
    return hashlib.sha256(f"{user.email} {user.hashed_password}".encode()).hexdigest()
