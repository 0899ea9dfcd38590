"""What routes need, each written once.

All are async functions, not classes: FastAPI calls anything else in a thread, for each request.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.once import keep_answer
from api.database.driver import Database
from api.database.engine import Transactions
from api.database.replica_reads import ReplicaReads
from api.database.statements import ReadDatabase
from api.http.answers import mark_secret, mark_stale
from api.http.authentication import has_cookie
from api.http.clients import address_of
from api.http.etags import IfMatch, header
from api.http.links import Links
from api.schemas.fields import MAX_ID
from api.settings import Settings
from api.state import state_of


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A request's session: committed before the answer leaves, rolled back on any exception. No route commits."""
    async with state_of(request).sessionmaker() as session:
        yield session
        await keep_answer(request, session)
        await session.commit()


async def get_transactions(request: Request) -> Transactions:
    """Separate transactions, for a request that waits for something slow between two of them."""
    return state_of(request).sessionmaker.begin


async def get_database(request: Request) -> Database:
    """The database, for statements that need no session."""
    return state_of(request).database


async def get_read_database(request: Request, response: Response) -> ReadDatabase:
    """The database; for a request that says nothing of who sends it, its replica, if there is one."""
    state = state_of(request)
    if state.replica is None or "authorization" in request.headers or has_cookie(request, state.settings):
        return state.database
    return ReplicaReads(state.replica, state.database, partial(mark_stale, response))


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
"""The request's session, in function scope: it is committed before the answer, which can still become an error."""

TransactionsDep = Annotated[Transactions, Depends(get_transactions)]

DatabaseDep = Annotated[Database, Depends(get_database)]
"""The database, for statements that need no session."""

ReadDatabaseDep = Annotated[ReadDatabase, Depends(get_read_database)]
"""The database, or its replica."""

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


async def keep_secret(request: Request) -> None:
    """Keep the answer out of caches, and its length from revealing anything: see `mark_secret`."""
    mark_secret(request)


SECRET = Depends(keep_secret)


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


async def get_links(request: Request, response: Response) -> Links:
    """The answer's headers that lead to other records."""
    return Links(request, response)


LinksDep = Annotated[Links, Depends(get_links)]
