"""Who sends a request, and what they may do; and what the routes of accounts need.

As in the package: async functions, not classes.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Request, params
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.accounts.access_tokens import Caller, find_caller, find_type
from api.crud.accounts.manager import UserManager
from api.crud.accounts.proof import Proof
from api.crud.accounts.sign_ins import count_registration
from api.dependencies import ClientAddress, SessionDep, SettingsDep, TransactionsDep
from api.enums.users import UserType
from api.errors import Forbidden, Unauthenticated
from api.http.answers import mark_personal
from api.http.authentication import BEARER, COOKIE_SCHEME, find_cookie, require_same_origin
from api.state import State, state_of

SIGNED_OUT = "The token has expired or was revoked: sign in again"


def make_user_manager(state: State, session: AsyncSession) -> UserManager:
    """The manager of the users, on this session."""
    return UserManager(session, state.settings.token_secret.get_secret_value(), state.mail, state.background)


async def get_user_manager(request: Request, session: SessionDep) -> UserManager:
    """The manager of the users, on the request's session."""
    return make_user_manager(state_of(request), session)


UserManagerDep = Annotated[UserManager, Depends(get_user_manager)]


async def limit_registrations(transactions: TransactionsDep, address: ClientAddress) -> None:
    """TooManyRequests if too many accounts were created from the client's address lately."""
    async with transactions() as session:
        await count_registration(session, address)


LimitRegistrations = Depends(limit_registrations)


class AfterAnswer:
    """Work with the user manager that begins after the answer was sent, so that its duration reveals nothing.

    Not Starlette's background tasks: with those, the connection's next answer waits for the work, and reveals it.
    """

    def __init__(self, state: State, tasks: BackgroundTasks) -> None:
        self.state = state
        self.tasks = tasks

    def start(self, work: Callable[[UserManager], Awaitable[None]]) -> None:
        """Run `work` in the background, in a transaction of its own."""

        async def in_transaction() -> None:
            async with self.state.sessionmaker.begin() as session:
                await work(make_user_manager(self.state, session))

        self.tasks.add_task(self.state.background.start, in_transaction)

    def mail(self, to: str, subject: str, text: str) -> None:
        """Send a mail in the background."""
        self.tasks.add_task(self.state.background.start, partial(self.state.mail.send, to, subject, text))


async def get_after_answer(request: Request, tasks: BackgroundTasks) -> AfterAnswer:
    """Starts work that goes on in the background after the request is answered."""
    return AfterAnswer(state_of(request), tasks)


AfterAnswerDep = Annotated[AfterAnswer, Depends(get_after_answer)]


HeaderToken = Annotated[str | None, Depends(BEARER.scheme)]
AnyCookie = Annotated[None, Depends(COOKIE_SCHEME)]


async def refuse_other_sites(request: Request) -> None:
    """Forbidden if another site's page made a browser send this request, and it would change something."""
    require_same_origin(request, state_of(request).settings)


SAME_ORIGIN = Depends(refuse_other_sites)


async def get_cookie(request: Request, _: AnyCookie) -> str | None:
    """The token in the cookie; Forbidden if another site's page would use it to change something."""
    cookie = find_cookie(request, state_of(request).settings)
    if cookie is not None:
        await refuse_other_sites(request)
    return cookie


CookieToken = Annotated[str | None, Depends(get_cookie)]


async def get_token(request: Request, bearer: HeaderToken, cookie: CookieToken) -> str:
    """The token that the request was sent with; Unauthenticated without one."""
    mark_personal(request)
    token = cookie if bearer is None else bearer
    if token is None:
        raise Unauthenticated("Sign in first: POST /auth/jwt/login gives a token for Authorization: Bearer ...")
    return token


TokenDep = Annotated[str, Depends(get_token)]


async def get_caller(request: Request, bearer: HeaderToken, cookie: CookieToken) -> Caller:
    """The user who is signed in; Unauthenticated if nobody is."""
    token, state = await get_token(request, bearer, cookie), state_of(request)
    caller = await find_caller(state.database, token, timedelta(seconds=state.settings.access_token_seconds))
    if caller is None:
        raise Unauthenticated(SIGNED_OUT, token_is_invalid=bearer is not None)
    return caller


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_reader(request: Request, bearer: HeaderToken, cookie: CookieToken) -> Caller | None:
    """The user who is signed in, for a route that anybody may use and that shows some more; None if nobody is."""
    if bearer is None and cookie is None:
        return None
    try:
        return await get_caller(request, bearer, cookie)
    except Unauthenticated:
        return None


ReaderDep = Annotated[Caller | None, Depends(get_reader)]


class StillSignedIn:
    """Checks, when a request has taken a while, that its user is still signed in, and may still do it."""

    def __init__(self, caller: Caller, token: str, session: AsyncSession, lifetime: timedelta) -> None:
        self.caller = caller
        self.token = token
        self.session = session
        self.lifetime = lifetime

    async def require(self) -> None:
        """Unauthenticated if the token was revoked meanwhile, Forbidden if the user may do less than before."""
        type_ = await find_type(self.session, self.token, self.lifetime)
        if type_ is None:
            raise Unauthenticated(SIGNED_OUT, token_is_invalid=True)
        _require(type_, self.caller.type)


async def get_still_signed_in(
    caller: CallerDep, token: TokenDep, session: SessionDep, settings: SettingsDep
) -> StillSignedIn:
    """Checks later that the request's user is still signed in."""
    return StillSignedIn(caller, token, session, timedelta(seconds=settings.access_token_seconds))


StillSignedInDep = Annotated[StillSignedIn, Depends(get_still_signed_in)]


async def get_proof(caller: CallerDep, transactions: TransactionsDep, address: ClientAddress) -> Proof:
    """Asks later for the user's password."""
    return Proof(caller, transactions, address)


ProofDep = Annotated[Proof, Depends(get_proof)]


async def require_keeper(caller: CallerDep) -> None:
    """Forbidden unless the user is a keeper or an admin."""
    _require(caller.type, UserType.KEEPER)


async def require_admin(caller: CallerDep) -> None:
    """Forbidden unless the user is an admin."""
    _require(caller.type, UserType.ADMIN)


def _require(type_: UserType, least: UserType) -> None:
    if not type_.includes(least):
        allowed = " or ".join(allowed for allowed in UserType if allowed.includes(least))
        raise Forbidden(f"Only a user of type {allowed} may do this; yours is {type_}")


CALLER = Depends(get_caller)
KEEPER = Depends(require_keeper)
ADMIN = Depends(require_admin)
_LEAST = {UserType.VISITOR: CALLER, UserType.KEEPER: KEEPER, UserType.ADMIN: ADMIN}


def least(type_: UserType | None) -> list[params.Depends]:
    """The dependencies of a route for users of this type and those who may do more; None is anybody."""
    return [] if type_ is None else [_LEAST[type_]]
