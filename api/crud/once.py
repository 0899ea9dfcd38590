"""A request with an Idempotency-Key, from the claim of its key to its answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPMethod, HTTPStatus

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import idempotency
from api.crud.accounts.access_tokens import Caller
from api.crud.idempotency import Answer, Claim
from api.database.driver import Database
from api.database.engine import driver_of
from api.database.errors import DATABASE_ERRORS
from api.database.statements import Executor
from api.errors import Conflict, InProgress, NotFound, Unavailable
from api.http.error_handlers import ErrorResponse
from api.http.idempotency import ANSWER, DoneBefore, body_of, operation_of

ONCE = "zoo.once"  # in the scope of a request

Readable = Callable[[Executor, Caller, str], Awaitable[object]]
"""Raises NotFound if the caller can't see the record with this id, or it is deleted."""


class Once:
    """A request that is being done under a key."""

    def __init__(self, request: Request, claim: Claim) -> None:
        self.request = request
        self.claim = claim
        self.is_kept = False

    async def keep(self, transaction: Executor) -> None:
        """Store the answer of the route, in the transaction of its work; InProgress if another has taken over."""
        await idempotency.keep(transaction, self.claim, _answer(self.request.scope[ANSWER]))
        self.is_kept = True


def begun(request: Request) -> Once | None:
    """What the request is being done under; None without a key."""
    once: Once | None = request.scope.get(ONCE)
    return once


async def keep_answer(request: Request, session: AsyncSession) -> None:
    """Store the answer of the route, if the request has a key, in the transaction of this session."""
    if (once := begun(request)) is not None:
        await session.flush()  # first the work, then the key: in one order, as all requests lock
        await once.keep(await driver_of(session))


@asynccontextmanager
async def done_once(
    db: Database, request: Request, caller: Caller, key: str, require_readable: Readable | None
) -> AsyncIterator[None]:
    """A block in which the request is done. DoneBefore, with its answer, if it was done before.

    NotFound and Conflict are answers, too; after any other failure, the key is free again.
    """
    body = await body_of(request)
    if body is None:
        yield
        return
    found = await idempotency.claim(db, idempotency.Request(caller.id, key, operation_of(request), body))
    if isinstance(found, Answer):
        if require_readable is not None and (record_id := _record_of(request, found)) is not None:
            await require_readable(db, caller, record_id)
        raise DoneBefore(_response(found))
    request.scope[ONCE] = once = Once(request, found)
    try:
        yield
        if not once.is_kept:
            await once.keep(db)
    except Exception as error:
        with suppress(InProgress, Unavailable, *DATABASE_ERRORS):  # the claim expires by itself, and `error` says more
            if isinstance(error, NotFound | Conflict) and not isinstance(error, InProgress):
                refusal = ErrorResponse({"detail": error.detail}, error.status)
                await idempotency.keep(db, found, _answer(refusal))
            else:
                await idempotency.release(db, found)
        raise


def _record_of(request: Request, answer: Answer) -> str | None:
    """The id of the record that the answer is about; None if there is none, or none any more."""
    if request.method == HTTPMethod.DELETE and answer.status < HTTPStatus.BAD_REQUEST:
        return None
    if request.path_params:
        return str(next(iter(request.path_params.values())))
    return answer.location.rpartition("/")[2] if answer.location else None


def _answer(response: Response) -> Answer:
    return Answer(response.status_code, bytes(response.body).decode(), response.headers.get("Location"))


def _response(answer: Answer) -> Response:
    headers = {"Location": answer.location} if answer.location else None
    return Response(answer.body or None, answer.status, headers, "application/json" if answer.body else None)
