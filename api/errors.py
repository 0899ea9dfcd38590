"""What can go wrong, as the client sees it: `{"detail": ...}` with a status, whoever raised it.

Exception
├── ZooError                        500
│   ├── NotFound                    404  no such record, or a deleted one
│   ├── Conflict                    409  the state of the record does not allow it
│   ├── UnsupportedMediaType        415  a body that is not JSON
│   ├── Unprocessable               422  a value that can't be taken
│   │   └── InvalidReference        422  a field names a record that is not there
│   └── Unavailable                 503  the database is away or busy; Retry-After says when to come again
├── RequestValidationError          422  FastAPI: the request does not have the documented form
├── HTTPException                        Starlette: no such route (404), method (405), too large (413)
├── SQLAlchemyError                      by SQLSTATE: 409, 422, 503, else 500
└── OSError                         503  the driver's, raw: refused, reset, timed out
"""

import json
import logging
from http import HTTPMethod, HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

RETRY_AFTER_SECONDS = 2
MAX_REPORTED_ERRORS = 20
MAX_REPORTED_NAME = 100

log = logging.getLogger("uvicorn.error")


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
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, detail: str | list[dict[str, Any]]) -> None:
        super().__init__(detail)
        self.detail = detail


class NotFound(ZooError):
    """There is no such record, or it was deleted."""

    status = 404


class Conflict(ZooError):
    """The state of the record does not allow the request."""

    status = 409


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


class Unavailable(ZooError):
    """The database is away, busy, or not ready for this release."""

    status = 503
    headers: ClassVar[dict[str, str]] = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class ErrorResponse(JSONResponse):
    """JSON in ASCII: an error may quote the client's own broken Unicode, which has no UTF-8 form."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


async def handle_zoo_error(_: Request, error: ZooError) -> ErrorResponse:
    """Answer with the error's own status and detail."""
    return ErrorResponse({"detail": error.detail}, error.status, error.headers)


async def handle_http_exception(request: Request, error: HTTPException) -> ErrorResponse:
    """Answer what Starlette raises; with 405 it names the methods of one route only, and RFC 9110 asks for all."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(method for method in HTTPMethod if _is_allowed(request, method))
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


async def handle_database_error(request: Request, error: SQLAlchemyError | OSError) -> ErrorResponse:
    """Answer with the meaning of a failure of the database: by its SQLSTATE where there is one."""
    found = explain_database_error(error)
    if found is None:
        raise error
    if isinstance(found, Unavailable):
        log.warning("%s %s: %s (%s)", request.method, request.url.path, found.detail, _reason(error))
    return await handle_zoo_error(request, found)


_BY_SQLSTATE_CLASS: dict[str, ZooError] = {
    # integrity constraint violation
    "23": Conflict("The change contradicts another one made at the same moment: read the record again"),
    # data exception
    "22": Unprocessable([{"type": "value", "loc": ["body"], "msg": "The database refuses a value"}]),
    # transaction rollback; object not in prerequisite state
    **dict.fromkeys(["40", "55"], Unavailable("The database was busy with a conflicting change")),
    # connection; read-only; login; catalog name; insufficient resources; operator intervention; system error
    **dict.fromkeys(["08", "25", "28", "3D", "53", "57", "58"], Unavailable("The database can't serve this now")),
}


def explain_database_error(error: SQLAlchemyError | OSError) -> ZooError | None:
    """The client's view of a failure of the database; None where it is a fault of this code.

    Source of the classes: PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
    """
    if isinstance(error, PoolTimeoutError):
        return Unavailable("The server is busy: all of its database connections are in use")
    if isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Unavailable("The database can't be reached")
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return _BY_SQLSTATE_CLASS.get(state[:2])


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


async def handle_unexpected_error(_: Request, __: Exception) -> ErrorResponse:
    """Answer in the form of every other error. The server logs the traceback."""
    return ErrorResponse({"detail": "Internal server error"}, 500)


def add_handlers(app: FastAPI) -> None:
    """Give every exception that may leave a route its handler."""
    app.exception_handler(ZooError)(handle_zoo_error)
    app.exception_handler(HTTPException)(handle_http_exception)
    app.exception_handler(RequestValidationError)(handle_validation_error)
    app.exception_handler(SQLAlchemyError)(handle_database_error)
    app.exception_handler(OSError)(handle_database_error)
    app.exception_handler(Exception)(handle_unexpected_error)
