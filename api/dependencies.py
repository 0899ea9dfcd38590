"""What routes need, each written once.

All of it is async, and none a class: what is not, FastAPI calls in a thread, for each request anew.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Header, Path, Request, Response
from fastapi_users.authentication import AuthenticationBackend, Authenticator
from sqlalchemy.ext.asyncio import AsyncSession

from api.authentication import BEARER, COOKIE, SameOriginCookieTransport
from api.crud.orders import Caller
from api.crud.records import P, Page, R
from api.crud.sign_ins import count_registration, subscriber
from api.crud.user_manager import UserManager
from api.crud.users import AccessTokenStrategy
from api.database import Transactions, get_session, get_transactions
from api.enums import UserType
from api.errors import Forbidden, Unauthenticated, UnsupportedMediaType
from api.external_services.services import Services
from api.models import User
from api.schemas.fields import MAX_ID
from api.settings import Settings

SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
"""The request's session. Of function scope: it is committed before the answer is sent, so that an error still shows."""

TransactionsDep = Annotated[Transactions, Depends(get_transactions)]

RecordId = Annotated[int, Path(ge=1, le=MAX_ID)]
"""The id in a path."""


async def require_json_body(request: Request) -> None:
    """Refuse a body of another type, whose content would otherwise be reported as one long invalid string."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = content_type == "application/json" or content_type.endswith("+json")
    if not is_json and await request.body():
        raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json")


JsonBody = Depends(require_json_body)


async def require_form(request: Request) -> None:
    """Refuse a body of another type, which would otherwise be reported as a form without fields."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("Send a form, with the header Content-Type: application/x-www-form-urlencoded")


FormBody = Depends(require_form)


async def get_settings(request: Request) -> Settings:
    """The app's settings."""
    settings: Settings = request.app.state.settings
    return settings


SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_client_address(request: Request) -> str:
    """Where the client is, as its tries are counted; behind a proxy, what FORWARDED_ALLOW_IPS lets that say."""
    return subscriber(request.client.host if request.client else "")


ClientAddress = Annotated[str, Depends(get_client_address)]


def make_user_manager(request: Request, session: AsyncSession) -> UserManager:
    """The manager of the users, on this session."""
    state = request.app.state
    return UserManager(session, state.settings.token_secret.get_secret_value(), state.mail, state.background)


async def get_user_manager(request: Request, session: SessionDep) -> UserManager:
    """The manager of the users, on the request's session."""
    return make_user_manager(request, session)


UserManagerDep = Annotated[UserManager, Depends(get_user_manager)]


async def limit_registrations(transactions: TransactionsDep, address: ClientAddress) -> None:
    """TooManyRequests where too many accounts were made from the client's address of late."""
    async with transactions() as session:
        await count_registration(session, address)


LimitRegistrations = Depends(limit_registrations)


class AfterAnswer:
    """Work with the user manager that begins when the answer has left, which so tells nothing about it.

    Not Starlette's background tasks: with those the connection's next answer waits for the work, and tells.
    """

    def __init__(self, request: Request, transactions: Transactions, tasks: BackgroundTasks) -> None:
        self.request = request
        self.transactions = transactions
        self.tasks = tasks

    def start(self, work: Callable[[UserManager], Awaitable[None]]) -> None:
        """Let `work` go on by itself, in a transaction of its own."""

        async def in_transaction() -> None:
            async with self.transactions() as session:
                await work(make_user_manager(self.request, session))

        self.tasks.add_task(self.request.app.state.background.start, in_transaction)


async def get_after_answer(request: Request, transactions: TransactionsDep, tasks: BackgroundTasks) -> AfterAnswer:
    """What goes on by itself when the request is answered."""
    return AfterAnswer(request, transactions, tasks)


AfterAnswerDep = Annotated[AfterAnswer, Depends(get_after_answer)]


async def get_strategy(session: SessionDep, settings: SettingsDep) -> AccessTokenStrategy:
    """fastapi-users's name for what makes, reads and ends access tokens."""
    return AccessTokenStrategy(session, settings.access_token_seconds)


StrategyDep = Annotated[AccessTokenStrategy, Depends(get_strategy)]

_authenticator = Authenticator(
    [
        AuthenticationBackend("bearer", BEARER, get_strategy),
        AuthenticationBackend("cookie", SameOriginCookieTransport(), get_strategy),
    ],
    get_user_manager,
)
Authenticated = Annotated[tuple[User | None, str | None], Depends(_authenticator.current_user_token(optional=True))]


async def require_token(request: Request, authenticated: Authenticated) -> tuple[User, str]:
    """The user who is signed in, and the token that shows it; Unauthenticated without one."""
    user, token = authenticated
    if user is None or token is None:
        bearer = request.headers.get("authorization", "").lower().startswith("bearer ")
        if bearer or (COOKIE in request.cookies and "authorization" not in request.headers):
            raise Unauthenticated("The token has expired or was ended: sign in again", token_is_invalid=bearer)
        raise Unauthenticated("Sign in first: POST /auth/jwt/login gives a token for Authorization: Bearer ...")
    return user, token


TokenDep = Annotated[tuple[User, str], Depends(require_token)]


async def require_user(user_and_token: TokenDep) -> User:
    """The user who is signed in; Unauthenticated without one."""
    return user_and_token[0]


CurrentUser = Annotated[User, Depends(require_user)]


class StillSignedIn:
    """Whether whoever makes the request is still signed in, and may still do it: for when it has taken a while."""

    def __init__(self, user: User, token: str, strategy: AccessTokenStrategy, manager: UserManager) -> None:
        self.token = token
        self.type = user.type
        self.strategy = strategy
        self.manager = manager

    async def require(self) -> None:
        """Unauthenticated where the token was ended meanwhile, Forbidden where the user may do less than before."""
        user = await self.strategy.read_token(self.token, self.manager)
        if user is None:
            raise Unauthenticated("The token has expired or was ended: sign in again", token_is_invalid=True)
        _require(user, self.type)


async def get_still_signed_in(
    user_and_token: TokenDep, strategy: StrategyDep, manager: UserManagerDep
) -> StillSignedIn:
    """Whether whoever makes the request is still signed in when it has taken a while."""
    return StillSignedIn(*user_and_token, strategy, manager)


StillSignedInDep = Annotated[StillSignedIn, Depends(get_still_signed_in)]


async def get_caller(user: CurrentUser) -> Caller:
    """Who is signed in, as the rules about orders see it."""
    return Caller(user.id, user.type)


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_lone_transactions(session: SessionDep, _: CallerDep, transactions: TransactionsDep) -> Transactions:
    """Transactions of their own, and nothing held besides: the connection that looked up the caller is given back."""
    await session.rollback()
    return transactions


LoneTransactionsDep = Annotated[Transactions, Depends(get_lone_transactions)]


async def get_services(request: Request) -> Services:
    """The services that orders are paid with and made by."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]

IdempotencyKeyDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A value of your choice, new for each request. Sent again with it, the request is not done again,"
        " but answered as before. Kept for 24 hours.",
    ),
]


async def require_keeper(user: CurrentUser) -> User:
    """The keeper, or admin, who is signed in; Forbidden for others."""
    return _require(user, UserType.KEEPER)


async def require_admin(user: CurrentUser) -> User:
    """The admin who is signed in; Forbidden for others."""
    return _require(user, UserType.ADMIN)


def _require(user: User, least: UserType) -> User:
    if not user.type.includes(least):
        allowed = " or ".join(type_ for type_ in UserType if type_.includes(least))
        raise Forbidden(f"Only a user of type {allowed} may do this; yours is {user.type}")
    return user


KEEPER = Depends(require_keeper)
ADMIN = Depends(require_admin)


class Links:
    """The headers that lead to other records: Location, and Link (RFC 8288).

    They are relative, for which scheme and host the client sees is not the api's to know; behind a proxy that serves
    the api below a prefix they have that prefix.
    """

    def __init__(self, request: Request, response: Response) -> None:
        self.request = request
        self.response = response
        path = request.url.path.rstrip("/")
        root = request.scope.get("root_path", "").rstrip("/")
        self.path = path if path.startswith(f"{root}/") else root + path

    def of(self, record_id: object) -> str:
        """Where the record is found."""
        return f"{self.path}/{record_id}"

    def created(self, record: R) -> R:
        """`record`, with its Location."""
        self.response.headers["Location"] = self.of(record.id)
        return record

    def page(self, page: Page[P]) -> Sequence[P]:
        """The records of `page`, with a Link to the next one while there is more.

        The link keeps the filters and goes on by `after`, whichever way the client began.
        """
        if page.next_after is not None:
            url = self.request.url.remove_query_params("offset").include_query_params(after=page.next_after)
            self.response.headers["Link"] = f'<{self.path}?{url.query}>; rel="next"'
        return page.records


async def get_links(request: Request, response: Response) -> Links:
    """The answer's headers that lead to other records."""
    return Links(request, response)


LinksDep = Annotated[Links, Depends(get_links)]
