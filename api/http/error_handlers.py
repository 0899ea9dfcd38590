"""How each exception that leaves a route is answered: api/errors.py lists them all."""

import json
from collections.abc import Callable
from contextlib import suppress
from http import HTTPMethod, HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from api.database.collisions import Fields, find_collision
from api.database.driver import Database
from api.database.errors import DATABASE_ERRORS, explain_database_error, reason_of, unique_violation
from api.errors import (
    BadGateway,
    Conflict,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
    ZooError,
)
from api.http.findings import MAX_FINDINGS, UNKNOWN, finding
from api.metrics import count_refusal

NOT_JSON = UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json")

log = structlog.get_logger(__name__)


class ErrorResponse(JSONResponse):
    """JSON in ASCII: an error may quote broken Unicode from the client, which can't be encoded in UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


async def handle_own_error(_: Request, error: ZooError) -> ErrorResponse:
    """Answer with the error's own status and detail."""
    if isinstance(error, TooManyRequests):
        count_refusal("limit")
    if isinstance(error, Unavailable | BadGateway):
        reason = f"{error.detail}: {reason_of(error.__cause__)}" if error.__cause__ else error.detail
        log.warning("can't serve", reason=reason)
    return ErrorResponse({"detail": error.detail}, error.status, error.headers)


async def handle_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer what Starlette raises. Its 405 names only the methods of one route, but RFC 9110 requires all.

    OPTIONS is not a method of any route, but is answered for each.
    """
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        if request.method == HTTPMethod.OPTIONS:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    return ErrorResponse({"detail": error.detail}, error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """The methods of the request's path. HEAD is answered wherever GET is; a route without methods serves files."""
    found = {"OPTIONS"}
    # A mount has added its own path to the root path.
    scope = {**request.scope, "root_path": request.scope.get("app_root_path", request.scope.get("root_path", ""))}
    for route in request.app.routes:
        if route.matches(scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or {"GET"}
    return found | {"HEAD"} if "GET" in found else found


async def handle_validation_error(request: Request, error: RequestValidationError) -> ErrorResponse:
    """Answer with what is wrong and where, without the input: it may be secret, and as long as a body can be.

    If FastAPI passes on the body as bytes, its type is not JSON: that is 415.
    """
    if isinstance(error.body, bytes):
        return await handle_own_error(request, NOT_JSON)
    detail = [finding(found["type"], found["loc"], _sentence(found)) for found in error.errors()[:MAX_FINDINGS]]
    return ErrorResponse({"detail": detail}, 422)


def _sentence(found: dict[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return UNKNOWN
    return str(found["msg"]).removeprefix("Value error, ")


DatabaseOf = Callable[[Request], Database]
"""The database of the app that serves a request."""


class DatabaseErrorHandler:
    """Answers with the meaning of a failure of the database: by its SQLSTATE, if it has one."""

    def __init__(self, database_of: DatabaseOf, fields: Fields) -> None:
        self.database_of = database_of
        self.fields = fields

    async def __call__(self, request: Request, error: Exception) -> ErrorResponse:
        found = await self._collision(request, error) or explain_database_error(error)
        if found is None:
            raise error
        return await handle_own_error(request, found)

    async def _collision(self, request: Request, error: Exception) -> Conflict | None:
        violation = unique_violation(error)
        if violation is None:
            return None
        with suppress(ZooError, *DATABASE_ERRORS):
            return Conflict(str(await find_collision(self.database_of(request), violation, self.fields)))
        return None


async def handle_response_validation_error(_: Request, error: ResponseValidationError) -> ErrorResponse:
    """Log what is wrong with the answer and where, but not the error's text, because that quotes the answer."""
    wrong = [{"type": found["type"], "loc": found["loc"]} for found in error.errors()[:MAX_FINDINGS]]
    log.error("answer without the documented form", wrong=wrong)
    return internal_error()


def internal_error() -> ErrorResponse:
    """The answer to an unhandled exception, in the form of all errors. api/http/exchange.py logs the exception."""
    return ErrorResponse({"detail": "Internal server error"}, 500)


def add_handlers(app: FastAPI, database_of: DatabaseOf, fields: Fields) -> None:
    """Add a handler for each exception that may leave a route."""
    app.exception_handler(ZooError)(handle_own_error)
    app.exception_handler(HTTPException)(handle_http_exception)
    app.exception_handler(RequestValidationError)(handle_validation_error)
    app.exception_handler(ResponseValidationError)(handle_response_validation_error)
    handle_database_error = DatabaseErrorHandler(database_of, fields)
    for error in DATABASE_ERRORS:
        app.exception_handler(error)(handle_database_error)
