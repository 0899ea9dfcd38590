"""What routes declare about their answers, for the OpenAPI document: api/http/document.py."""

from collections.abc import Sequence
from typing import Any

from fastapi.params import Depends
from fastapi.routing import APIRoute, APIRouter

from api.errors import (
    Detail,
    ErrorDetail,
    FieldErrors,
    Forbidden,
    InProgress,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    ZooError,
)
from api.http.examples import of_error
from api.http.route import Route

Responses = dict[int | str, dict[str, Any]]


def operation_id(route: APIRoute) -> str:
    """`<tag>-<function name>`: generated clients name their methods after it."""
    return f"{route.tags[0]}-{route.name}"


def errors(*classes: type[ZooError], example: Detail | None = None) -> Responses:
    """These errors, as a route's `responses`, with an example of their `detail`, by default each error's own."""
    return {
        error.status: {
            "model": error.schema,
            "description": (error.__doc__ or "").strip(),
            "headers": _HEADERS.get(error, {}),
            **({"content": of_error(detail)} if (detail := example or error.example) else {}),
        }
        for error in classes
    }


def nothing(status: int, description: str) -> Responses:
    """An answer that says nothing but its status: its body is null."""
    return {status: {"description": description, "content": {"application/json": {"schema": {"type": "null"}}}}}


def _header(name: str, about: str, of_type: str = "string") -> dict[str, Any]:
    return {name: {"description": about, "schema": {"type": of_type}}}


_RETRY_AFTER = _header("Retry-After", "Seconds to wait.", "integer")
_HEADERS: dict[type[ZooError], dict[str, Any]] = {
    Unauthenticated: _header("WWW-Authenticate", "How to sign in: with a bearer token."),
    TooManyRequests: _RETRY_AFTER,
    InProgress: _header("Retry-After", "Seconds to wait, if waiting helps.", "integer"),
}


# Answers of any route.
COMMON: Responses = {
    422: {"model": FieldErrors, "description": "The request does not have the documented form."},
    503: {
        "model": ErrorDetail,
        "description": "The database is down or busy, or the server has too much to do.",
        "headers": _RETRY_AFTER,
        "content": of_error(Unavailable.example),
    },
}
# Further answers of any route with a JSON body.
BODY: Responses = {
    413: {"model": ErrorDetail},  # api/http/route.py adds how large it may be
    **errors(UnsupportedMediaType),
}
_ETAG = _header("ETag", "Identifies this state: for If-None-Match, to read it again, and for If-Match, to change it.")
_NOT_MODIFIED: Responses = {304: {"description": "It has not changed since If-None-Match, and is not sent again."}}
CREATED = BODY | {
    201: {"description": "The new record.", "headers": _ETAG | _header("Location", "The path of the record.")}
}
# Answers if a record is read, changed or deleted.
RECORD = _NOT_MODIFIED | {200: {"description": "The record.", "headers": _ETAG}}
CHANGED = errors(PreconditionFailed) | {200: {"description": "The record as it is now.", "headers": _ETAG}}
DELETED = errors(PreconditionFailed)


def resource_router(
    name: str,
    dependencies: Sequence[Depends] = (),
    responses: Responses | None = None,
    max_body_size: int | None = None,
) -> APIRouter:
    """The router of the routes below `/name`; their bodies may have up to `max_body_size` bytes: see Route."""
    return APIRouter(
        route_class=Route,
        max_body_size=max_body_size,
        prefix=f"/{name}",
        tags=[name],
        dependencies=dependencies,
        responses=COMMON | (responses or {}),
        generate_unique_id_function=operation_id,
    )


def page(order: str, headers: dict[str, Any] | None = None) -> Responses:
    """A page of a list in this order, with these headers, too."""
    more = _header("Link", 'The next page (rel="next"), if there are more records.')
    return _NOT_MODIFIED | {
        200: {"description": f"A page of the list, {order}.", "headers": _ETAG | more | (headers or {})}
    }


_COUNT = _header("X-Total-Count", "How many records all pages have, if `count=true`.", "integer") | _header(
    "X-Total-Count-Is", "`exact`, or, of more than 10,000 records, or where 20,000 are expected, `estimated`."
)
PAGE = page("in the order of `sort`", _COUNT)
# Further answers of routes that honour an Idempotency-Key.
KEYED = errors(InProgress) | errors(
    TooManyRequests, example="Too many Idempotency-Keys within 24 hours: wait, or send none"
)


def conflict(example: str) -> Responses:
    """The 409 of a route that changes something, with this example, which all its reasons share."""
    return errors(InProgress, example=example)


# Answers of routes that need a user.
SIGNED_IN = errors(Unauthenticated)
RESTRICTED = errors(Unauthenticated, Forbidden)
# Further answers to a request with the cookie.
OTHER_SITE = errors(Forbidden, example="This request comes from a page of another site: use a bearer token there")
