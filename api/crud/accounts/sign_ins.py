"""Signing in, with limits that keep out clients that guess, and no others for long.

Failures are counted for an address, for an account, and for an account at an address. If a user has signed in from an
address before, only the last of these limits applies there: tries from elsewhere, or by others behind the same proxy,
lock no user out. And a password reset by mail always gives access.

(The price: a client that shares a user's address, and has failed too often there, can tell that the user's account
exists, because that one is not limited.)
"""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import throttles
from api.crud.accounts import access_tokens
from api.crud.accounts.passwords import name_client, verify_password
from api.crud.accounts.users import UserStore
from api.database.engine import Transactions
from api.errors import BadRequest, Unavailable
from api.models.users import KnownAddress, User
from api.schemas.users import MAX_PASSWORD_LENGTH

MAX_FAILURES_OF_AN_ADDRESS = 50
MAX_FAILURES_ON_AN_ACCOUNT = 30
MAX_FAILURES_ON_AN_ACCOUNT_AT_AN_ADDRESS = 10
MAX_REGISTRATIONS_FROM_AN_ADDRESS = 100
MAX_MAILS_TO_AN_ADDRESS = 3
MAX_MAILS_FOR_A_CLIENT = 20
KNOWN_FOR = timedelta(days=90)
MAX_KNOWN_ADDRESSES = 100  # of a user: the one that was used least lately is forgotten


async def sign_in(transactions: Transactions, email: str, password: str, address: str) -> str:
    """A new access token for the user with this email and password, who is at `address`.

    BadRequest if there is none, TooManyRequests after too many tries. What it answers, and how long it takes, is the
    same whether there is an account or not. No connection is held while the password is verified.
    """
    found, limits = await _try(transactions, email, password, address)
    async with transactions() as session:
        # Checked again, because it may have changed meanwhile; from here on it can't.
        user = await UserStore(session).get_locked(found.id) if found else None
        if found is None or user is None or not user.is_active or user.hashed_password != found.hashed_password:
            raise BadRequest("Wrong email or password")
        await _succeed(session, email, address, limits)
        await _know(session, user, address)
        return await access_tokens.create(session, user.id)


async def require_password(transactions: Transactions, user_id: UUID, password: str, address: str) -> None:
    """Make sure that it is the user's password: BadRequest if not, TooManyRequests after too many tries, which count
    like those to sign in.
    """
    async with transactions() as session:
        user = await UserStore(session).get(user_id)
    email = user.email if user else ""
    found, limits = await _try(transactions, email, password, address)
    if found is None or found.id != user_id:
        raise BadRequest("Wrong password")
    async with transactions() as session:
        await _succeed(session, email, address, limits)


async def _try(
    transactions: Transactions, email: str, password: str, address: str
) -> tuple[User | None, Mapping[str, int]]:
    """The user with this email, if the password is right; and the limits that the try is counted under."""
    name_client(email.lower())
    here, everywhere, anybody = _keys(email, address)
    async with transactions() as session:
        user = await UserStore(session).get_by_email(email)
        limits = {here: MAX_FAILURES_ON_AN_ACCOUNT_AT_AN_ADDRESS}
        if not await _is_known(session, email, address):
            limits |= {everywhere: MAX_FAILURES_ON_AN_ACCOUNT, anybody: MAX_FAILURES_OF_AN_ADDRESS}
        await throttles.count(session, limits)
    hashed = user.hashed_password if user else None
    # No user has a longer one, so hashing it would be wasted work.
    try:
        is_right = len(password) <= MAX_PASSWORD_LENGTH and await verify_password(password, hashed)
    except Unavailable:  # the password was not tried
        async with transactions() as session:
            await throttles.settle(session, take_back=limits)
        raise
    return (user if is_right else None), limits


async def _succeed(session: AsyncSession, email: str, address: str, limits: Mapping[str, int]) -> None:
    here, _, _ = _keys(email, address)
    await throttles.settle(session, clear=[here], take_back=limits.keys() - {here})


async def let_in(session: AsyncSession, user: User, address: str) -> None:
    """Let `user`, whose identity is proven, sign in from `address`, whatever was tried before."""
    here, everywhere, _ = _keys(user.email, address)
    await throttles.settle(session, clear=[here, everywhere])
    await _know(session, user, address)


async def count_mail(session: AsyncSession, kind: str, email: str, address: str) -> None:
    """Count a mail that a client at `address` requests for `email`; TooManyRequests if that is too often.

    Each kind has its own limit: a client that uses up the password resets has sent the owner the means to get in.
    """
    limits = {
        throttles.key(f"mail-{kind}", email.lower()): MAX_MAILS_TO_AN_ADDRESS,
        throttles.key("mail-for", address): MAX_MAILS_FOR_A_CLIENT,
    }
    await throttles.count(session, limits)


async def count_registration(session: AsyncSession, address: str) -> None:
    """Count an account that a client at `address` wants to create, or an address or password that it wants to change;
    TooManyRequests if they are too many.
    """
    await throttles.count(session, {throttles.key("register", address): MAX_REGISTRATIONS_FROM_AN_ADDRESS})


def _keys(email: str, address: str) -> tuple[str, str, str]:
    account = email.lower()
    return (
        throttles.key("account-at-address", account, address),
        throttles.key("account", account),
        throttles.key("address", address),
    )


async def _is_known(session: AsyncSession, email: str, address: str) -> bool:
    if "\x00" in email:
        return False
    known = (
        select(KnownAddress)
        .join(User, User.id == KnownAddress.user_id)
        .where(func.lower(User.email) == email.lower(), KnownAddress.address == address)
        .where(KnownAddress.last_used_at > func.statement_timestamp() - KNOWN_FOR)
    )
    return bool(await session.scalar(select(known.exists())))


async def _know(session: AsyncSession, user: User, address: str) -> None:
    now = func.statement_timestamp()
    await session.execute(
        insert(KnownAddress)
        .values(user_id=user.id, address=address)
        .on_conflict_do_update(index_elements=[KnownAddress.user_id, KnownAddress.address], set_={"last_used_at": now})
    )
    of_user = select(KnownAddress.address).where(KnownAddress.user_id == user.id)
    too_many = of_user.order_by(KnownAddress.last_used_at.desc(), KnownAddress.address).offset(MAX_KNOWN_ADDRESSES)
    await session.execute(
        delete(KnownAddress).where(KnownAddress.user_id == user.id, KnownAddress.address.in_(too_many))
    )
