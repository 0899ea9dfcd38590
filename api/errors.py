"""What can go wrong, as the client sees it: `{"detail": ...}` with a status, whoever raised it.

Exception
├── ZooError                        500
│   ├── BadRequest                  400  wrong credentials, a token that is no good, an address that has an account
│   ├── Unauthenticated             401  nobody is signed in; WWW-Authenticate says how to
│   ├── Forbidden                   403  the user may not do this
│   ├── NotFound                    404  no such record, or a deleted one
│   ├── Conflict                    409  the state of the record does not allow it
│   │   └── InProgress              409  the same is being done already; Retry-After says when to come again
│   ├── UnsupportedMediaType        415  a body that is not JSON
│   ├── Unprocessable               422  a value that can't be taken
│   │   └── InvalidReference        422  a field names a record that is not there
│   ├── TooManyRequests             429  tried too often; Retry-After says when to come again
│   ├── BadGateway                  502  a service outside of this stack can't be reached, or does not do its part
│   └── Unavailable                 503  the database is away or busy; Retry-After says when to come again
├── FastAPIUsersException           400  the manager's findings about accounts and tokens
├── RequestValidationError          422  FastAPI: the request does not have the documented form
├── ResponseValidationError         500  FastAPI: the answer does not have the documented form
├── HTTPException                        Starlette: no such route (404), method (405), too large (413)
├── SQLAlchemyError, its adapter's
│   Error, asyncpg's PostgresError       by SQLSTATE: 409, 422, 503, else 500
├── asyncpg's InterfaceError,
│   InternalClientError             503  the connection was closed meanwhile; else 500
└── ConnectionError, TimeoutError   503  the driver's, in the middle of a statement
"""

import json
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any, ClassVar

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi_users.exceptions import (
    FastAPIUsersException,
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyExists,
    UserAlreadyVerified,
)
from pydantic import BaseModel, ConfigDict
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

RETRY_AFTER_SECONDS = 2
MAX_REPORTED_ERRORS = 20
MAX_REPORTED_NAME = 100

# What can come out of a statement: SQLAlchemy's errors, the driver's, and those that both pass on as they are. And what
# becomes of the driver's, where SQLAlchemy makes a connection and has no statement to tell of.
DATABASE_ERRORS = (
    SQLAlchemyError,
    AsyncAdapt_asyncpg_dbapi.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
    TimeoutError,
)
CLOSED = (
    ConnectionError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # an answer that came while it was being closed
)
DATATYPE_MISMATCH = "42804"
SCHEMA_CHANGED = (asyncpg.InvalidCachedStatementError, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError)
Detail = str | list[dict[str, Any]]

log = structlog.get_logger(__name__)


class ErrorDetail(BaseModel):
    """An error that one sentence describes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "No animal 7"}]})
    detail: str


class FieldError(BaseModel):
    """What is wrong with one part of the request, and where: `loc` leads to it, from body, query or path on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "missing", "loc": ["body", "name"], "msg": "Field required"}]}
    )
    type: str
    loc: list[str | int]
    msg: str


class FieldErrors(BaseModel):
    """What is wrong with the request, an entry for each finding (the first 20)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"detail": [{"type": "missing", "loc": ["body", "name"], "msg": "Field required"}]}]
        }
    )
    detail: list[FieldError]


class ZooError(Exception):
    """Base of the errors that this code raises itself. `detail` is what the client is told."""

    status: ClassVar[int] = 500
    schema: ClassVar[type[BaseModel]] = ErrorDetail
    headers: Mapping[str, str] = {}

    def __init__(self, detail: Detail) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(ZooError):
    """Something in the request is not right, and the sentence says what."""

    status = 400


class Unauthenticated(ZooError):
    """Nobody is signed in: there is no token, or it has expired or was ended."""

    status = 401

    def __init__(self, detail: Detail, *, token_is_invalid: bool = False) -> None:
        super().__init__(detail)
        # RFC 6750, section 3: no error code where no token was sent.
        self.headers = {"WWW-Authenticate": 'Bearer error="invalid_token"' if token_is_invalid else "Bearer"}


class Forbidden(ZooError):
    """The user who is signed in may not do this."""

    status = 403


class NotFound(ZooError):
    """There is no such record, or it was deleted."""

    status = 404


class Conflict(ZooError):
    """The state of the record does not allow the request."""

    status = 409


class InProgress(Conflict):
    """The state of the record does not allow the request, or the same is being done already; Retry-After says when to
    come again.
    """

    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class UnsupportedMediaType(ZooError):
    """The body is not of a type that the route takes."""

    status = 415


class Unprocessable(ZooError):
    """The request is well-formed, but a value in it can't be taken."""

    status = 422
    schema = FieldErrors


class InvalidReference(Unprocessable):
    """A field of the body names a record that does not exist."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__([{"type": "reference", "loc": ["body", field], "msg": message}])
        self.field = field
        self.message = message


class TooManyRequests(ZooError):
    """It was tried too often; Retry-After says when to come again."""

    status = 429

    def __init__(self, detail: Detail, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after_seconds)}


class BadGateway(ZooError):
    """A service outside of this stack can't be reached, or does not do its part."""

    status = 502


class Unavailable(ZooError):
    """The database is away, busy, or not ready for this release; or the server has too much to do."""

    status = 503
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class ErrorResponse(JSONResponse):
    """JSON in ASCII: an error may quote the client's own broken Unicode, which has no UTF-8 form."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


async def handle_zoo_error(_: Request, error: ZooError) -> ErrorResponse:
    """Answer with the error's own status and detail."""
    if isinstance(error, Unavailable | BadGateway):
        reason = f"{error.detail}: {reason_of(error.__cause__)}" if error.__cause__ else error.detail
        log.warning("can't serve", reason=reason)
    return ErrorResponse({"detail": error.detail}, error.status, error.headers)


_BY_USERS_EXCEPTION: dict[type[FastAPIUsersException], str] = {
    UserAlreadyExists: "There is an account with this address already",
    UserAlreadyVerified: "The address is verified already",
    InvalidVerifyToken: "The token is not valid, or no longer: request another one",
    InvalidResetPasswordToken: "The token is not valid, or no longer: request another one",
}


async def handle_users_exception(request: Request, error: FastAPIUsersException) -> ErrorResponse:
    """Answer what fastapi-users's manager finds in one of our sentences."""
    if type(error) not in _BY_USERS_EXCEPTION:
        raise error
    return await handle_zoo_error(request, BadRequest(_BY_USERS_EXCEPTION[type(error)]))


async def handle_http_exception(request: Request, error: HTTPException) -> ErrorResponse:
    """Answer what Starlette raises; with 405 it names the methods of one route only, and RFC 9110 asks for all."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(method for method in HTTPMethod if _is_allowed(request, method))
        headers["Allow"] = allowed or headers["Allow"]
    return ErrorResponse({"detail": error.detail}, error.status_code, headers)


def _is_allowed(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


async def handle_validation_error(_: Request, error: RequestValidationError) -> ErrorResponse:
    """Answer with what is wrong and where, without the input: it may be secret, and as long as a body can be."""
    detail = [
        {
            "type": found["type"],
            "loc": [part[:MAX_REPORTED_NAME] if isinstance(part, str) else part for part in found["loc"]],
            "msg": _sentence(found),
        }
        for found in error.errors()[:MAX_REPORTED_ERRORS]
    ]
    return ErrorResponse({"detail": detail}, 422)


def _sentence(found: dict[str, Any]) -> str:
    if found["type"] == "json_invalid":
        return f"{found['msg']}: {found['ctx']['error']}"
    if found["type"] == "extra_forbidden":
        return "Unknown field: leave it out, or correct its name"
    return str(found["msg"]).removeprefix("Value error, ")


async def handle_database_error(request: Request, error: Exception) -> ErrorResponse:
    """Answer with the meaning of a failure of the database: by its SQLSTATE where there is one."""
    found = explain_database_error(error)
    if found is None:
        raise error
    return await handle_zoo_error(request, found)


_BY_SQLSTATE: dict[str, tuple[type[ZooError], Detail]] = {
    # undefined table, undefined column
    **dict.fromkeys(["42P01", "42703"], (Unavailable, "The schema is not the one that this release needs")),
    # integrity constraint violation
    "23": (Conflict, "The change contradicts another one made at the same moment: read the record again"),
    # data exception
    "22": (Unprocessable, [{"type": "value", "loc": ["body"], "msg": "The database refuses a value"}]),
    # transaction rollback; object not in prerequisite state
    **dict.fromkeys(["40", "55"], (Unavailable, "The database was busy with a conflicting change")),
    # read-only SQL transaction: a standby, or somebody has made it so; disk full. Not 507, which is about this client's
    # own data: Retry-After tells clients and proxies all that they can do about either.
    "25006": (Unavailable, "The database is read-only: nothing can be written now"),
    "53100": (Unavailable, "The database's disk is full: nothing can be written now"),
    # connection; transaction state; login; catalog name; insufficient resources; operator intervention; system error
    **dict.fromkeys(["08", "25", "28", "3D", "53", "57", "58"], (Unavailable, "The database can't serve this now")),
}


def explain_database_error(error: Exception) -> ZooError | None:
    """The client's view of a failure of the database, caused by it; None where it is a fault of this code.

    Source of the classes: PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
    """
    cause = getattr(error, "orig", None) or error  # the driver's, as it is or as SQLAlchemy passes it on
    state = getattr(cause, "sqlstate", None) or ""
    found: tuple[type[ZooError], Detail]
    if isinstance(error, PoolTimeoutError):
        found = Unavailable, "The server is busy: all of its database connections are in use"
    elif isinstance(cause, SCHEMA_CHANGED) or is_stale(error):
        found = Unavailable, "The schema has changed a moment ago"
    elif _is_closed(cause) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        found = Unavailable, "The database can't be reached"
    elif state in _BY_SQLSTATE or state[:2] in _BY_SQLSTATE:
        found = _BY_SQLSTATE.get(state) or _BY_SQLSTATE[state[:2]]
    else:
        return None
    explained = found[0](found[1])
    explained.__cause__ = error
    return explained


def is_stale(error: BaseException) -> bool:
    """Whether it comes from a trigger's plan that is older than a column's type: the session keeps it to its end."""
    cause = getattr(error, "orig", None) or error
    return getattr(cause, "sqlstate", None) == DATATYPE_MISMATCH and "when preparing the plan" in str(cause)


def _is_closed(cause: BaseException) -> bool:
    # The driver's InterfaceError is also what it says to code that uses it in a wrong way.
    return isinstance(cause, CLOSED) or (isinstance(cause, asyncpg.InterfaceError) and "closed" in str(cause))


def reason_of(error: BaseException) -> str:
    """What the error says, in one line and without the data that it may quote in others."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0].rstrip(": ")


async def handle_response_validation_error(request: Request, error: ResponseValidationError) -> ErrorResponse:
    """Log what is wrong with the answer and where, and not the answer, which the error's own text quotes."""
    wrong = [{"type": found["type"], "loc": found["loc"]} for found in error.errors()[:MAX_REPORTED_ERRORS]]
    log.error("answer without the documented form", wrong=wrong)
    return await handle_unexpected_error(request, error)


async def handle_unexpected_error(_: Request, __: Exception) -> ErrorResponse:
    """Answer in the form of every other error. api/request_log.py logs the traceback."""
    return ErrorResponse({"detail": "Internal server error"}, 500)


def add_handlers(app: FastAPI) -> None:
    """Give every exception that may leave a route its handler."""
    app.exception_handler(ZooError)(handle_zoo_error)
    app.exception_handler(FastAPIUsersException)(handle_users_exception)
    app.exception_handler(HTTPException)(handle_http_exception)
    app.exception_handler(RequestValidationError)(handle_validation_error)
    app.exception_handler(ResponseValidationError)(handle_response_validation_error)
    for error in DATABASE_ERRORS:
        app.exception_handler(error)(handle_database_error)
    app.exception_handler(Exception)(handle_unexpected_error)
