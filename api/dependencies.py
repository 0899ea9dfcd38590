"""What routes need, each written once.

All are async functions, not classes: FastAPI calls anything else in a thread, for each request.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Header, Path, Request, Response, params
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.accounts.access_tokens import Caller, find_caller, find_type
from api.crud.accounts.manager import UserManager
from api.crud.accounts.proof import Proof
from api.crud.accounts.sign_ins import count_registration
from api.crud.once import Readable, begun, done_once
from api.database.driver import Database, savepoint
from api.database.engine import Transactions, driver_of
from api.database.replica_reads import ReplicaReads
from api.database.statements import ReadDatabase
from api.enums import UserType
from api.errors import Forbidden, Unauthenticated
from api.http.answers import mark_personal, mark_secret, mark_stale
from api.http.authentication import BEARER, COOKIE_SCHEME, find_cookie, has_credentials, require_same_origin
from api.http.clients import address_of
from api.http.etags import IfMatch, header
from api.http.links import Links
from api.schemas.fields import MAX_ID
from api.settings import Settings
from api.state import State, state_of

SIGNED_OUT = "The token has expired or was revoked: sign in again"


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A request's session: committed before the answer leaves, rolled back on any exception. No route commits."""
    async with state_of(request).sessionmaker() as session:
        yield session
        if (once := begun(request)) is not None:
            await session.flush()
            await once.keep(await driver_of(session))
        await session.commit()


async def get_transactions(request: Request) -> Transactions:
    """Separate transactions, for a request that waits for something slow between two of them."""
    return state_of(request).sessionmaker.begin


async def get_database(request: Request) -> Database:
    """The database, for statements that need no session."""
    return state_of(request).database


async def get_read_database(request: Request, response: Response) -> ReadDatabase:
    """The database, for a route that anybody may read; if nobody is signed in, its replica, if there is one."""
    state = state_of(request)
    if state.replica is None or has_credentials(request, state.settings):
        return state.database
    return ReplicaReads(state.replica, state.database, partial(mark_stale, response))


async def get_changes(request: Request) -> AsyncIterator[Database]:
    """The database, for statements that change something: with an Idempotency-Key, all in one transaction."""
    database, once = state_of(request).database, begun(request)
    if once is None:
        yield database
        return
    async with database.begin() as transaction:
        yield Database(partial(savepoint, transaction))
        await once.keep(transaction)


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
"""The request's session, in function scope: it is committed before the answer, which can still become an error."""

TransactionsDep = Annotated[Transactions, Depends(get_transactions)]

DatabaseDep = Annotated[Database, Depends(get_database)]
"""The database, for statements that need no session."""

ReadDatabaseDep = Annotated[ReadDatabase, Depends(get_read_database)]
"""The database, or its replica, for a route that anybody may read."""

ChangesDep = Annotated[Database, Depends(get_changes, scope="function")]
"""The database, for statements that change something and need no session."""

RecordId = Annotated[int, Path(ge=1, le=MAX_ID)]
"""The id in a path."""


async def get_settings(request: Request) -> Settings:
    """The app's settings."""
    return state_of(request).settings


SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_client_address(request: Request) -> str:
    """The client's address, as limits count it: see `address_of`."""
    return address_of(request.scope)


ClientAddress = Annotated[str, Depends(get_client_address)]


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


async def keep_secret(request: Request) -> None:
    """Keep the answer out of caches, and its length from revealing anything: see `mark_secret`."""
    mark_secret(request)


SECRET = Depends(keep_secret)


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


IdempotencyKeyDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A value of your choice, new for each request. If a request is sent again with the same value, it"
        " is not done again, but answered as before. Kept for 24 hours.",
    ),
]


def honours_key(require_readable: Readable | None = None) -> params.Depends:
    """For a route's dependencies, after those that say who may use it: with an Idempotency-Key, it is done once.

    The answer is given again only if `require_readable` still finds the record that it is about.
    """

    async def do_once(request: Request, caller: CallerDep, key: IdempotencyKeyDep = None) -> AsyncIterator[None]:
        if key is None:
            yield
            return
        async with done_once(state_of(request).database, request, caller, key, require_readable):
            yield

    return params.Depends(do_once, scope="function")


async def get_if_match(
    request: Request,
    sent: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="The `ETag` of the record as it was read: if the record has changed since, nothing is done, and"
            " the answer is 412.",
        ),
    ] = None,
) -> IfMatch:
    """The state that the record has to be in for the request to be done; any state, without the header."""
    return IfMatch(None if sent is None else header(request.scope, b"if-match"))


IfMatchDep = Annotated[IfMatch, Depends(get_if_match)]


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


async def get_links(request: Request, response: Response) -> Links:
    """The answer's headers that lead to other records."""
    return Links(request, response)


LinksDep = Annotated[Links, Depends(get_links)]
