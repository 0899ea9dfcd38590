"""The API's description of itself: what routes declare about their answers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.params import Depends
from fastapi.routing import APIRoute, APIRouter

from api.errors import (
    ErrorDetail,
    FieldErrors,
    Forbidden,
    InProgress,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
    ZooError,
)
from api.http.route import Route

Responses = dict[int | str, dict[str, Any]]


def operation_id(route: APIRoute) -> str:
    """`<tag>-<function name>`: generated clients name their methods by it."""
    return f"{route.tags[0]}-{route.name}"


def errors(*classes: type[ZooError]) -> Responses:
    """These errors, as a route's `responses`."""
    return {
        error.status: {
            "model": error.schema,
            "description": (error.__doc__ or "").strip(),
            "headers": _HEADERS.get(error, {}),
        }
        for error in classes
    }


def nothing(status: int, description: str) -> Responses:
    """An answer that says no more than its status: null."""
    return {status: {"description": description, "content": {"application/json": {"schema": {"type": "null"}}}}}


def _header(name: str, about: str, of_type: str = "string") -> dict[str, Any]:
    return {name: {"description": about, "schema": {"type": of_type}}}


_RETRY_AFTER = _header("Retry-After", "Seconds to wait.", "integer")
_HEADERS: dict[type[ZooError], dict[str, Any]] = {
    Unauthenticated: _header("WWW-Authenticate", "How to sign in: with a bearer token."),
    TooManyRequests: _RETRY_AFTER,
    InProgress: _header("Retry-After", "Seconds to wait, where waiting helps.", "integer"),
}


# What any route may answer.
COMMON: Responses = {
    422: {"model": FieldErrors, "description": "The request does not have the documented form."},
    503: {
        "model": ErrorDetail,
        "description": "The database is away or busy, or the server has too much to do.",
        "headers": _RETRY_AFTER,
    },
}
# What any route that takes a JSON body may answer besides.
BODY: Responses = {
    413: {"model": ErrorDetail},  # api/http/route.py says how large it may be
    **errors(UnsupportedMediaType),
}
_ETAG = _header("ETag", "Names this state of it: in If-None-Match to read it anew, in If-Match to change it.")
_NOT_MODIFIED: Responses = {304: {"description": "It is as If-None-Match has it, and not sent again."}}
CREATED = BODY | {
    201: {"description": "The new record.", "headers": _ETAG | _header("Location", "Where the record is found.")}
}
# A record that is read, one that is changed, and one that is deleted.
RECORD = _NOT_MODIFIED | {200: {"description": "The record.", "headers": _ETAG}}
CHANGED = errors(PreconditionFailed) | {200: {"description": "The record as it is now.", "headers": _ETAG}}
DELETED = errors(PreconditionFailed)


def resource_router(
    name: str,
    dependencies: Sequence[Depends] = (),
    responses: Responses | None = None,
    max_body_size: int | None = None,
) -> APIRouter:
    """The router of the routes below `/name`, whose bodies have `max_body_size` bytes at most: see Route."""
    return APIRouter(
        route_class=Route,
        max_body_size=max_body_size,
        prefix=f"/{name}",
        tags=[name],
        dependencies=dependencies,
        responses=COMMON | (responses or {}),
        generate_unique_id_function=operation_id,
    )


def page(order: str) -> Responses:
    """A page of a list in this order."""
    more = _header("Link", 'The next page (rel="next"), while there is more.')
    return _NOT_MODIFIED | {200: {"description": f"A page of the list, {order}.", "headers": _ETAG | more}}


PAGE = page("in id order")
# What a route may answer that is not for everybody.
SIGNED_IN = errors(Unauthenticated)
RESTRICTED = errors(Unauthenticated, Forbidden)


def completed(document: dict[str, Any], cookie: str) -> dict[str, Any]:
    """The document, changed in place: with the name of the cookie, and with If-None-Match, at which no route looks, for
    all of them have it from api/http/answers.py.
    """
    document["components"]["securitySchemes"]["CookieScheme"]["name"] = cookie
    for path in document["paths"].values():
        for operation in path.values():
            if "304" in operation["responses"]:
                operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
    return document


_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "title": "If-None-Match"},
    "description": "The `ETag` of what the client has: if it is still so, it is not sent again, and the answer is 304.",
}


@lru_cache(maxsize=1)  # it takes tens of milliseconds, and nobody else is served meanwhile
def part(app: FastAPI, tag: str, title: str, *, root: str, cookie: str) -> dict[str, Any]:
    """What the app's document says of the operations with this tag, and no more, as a document of its own.

    Where the token is had is said from the `root` of the API on: Swagger UI takes it from its own page on, and this
    document's page is one deeper than that of the whole.
    """
    routes = [route for route in app.routes if isinstance(route, APIRoute) and tag in route.tags]
    servers: list[dict[str, Any]] | None = [{"url": root}] if root else None
    document = completed(get_openapi(title=title, version=app.version, routes=routes, servers=servers), cookie)
    for scheme in document["components"]["securitySchemes"].values():
        for flow in scheme.get("flows", {}).values():
            flow["tokenUrl"] = f"{root}/{flow['tokenUrl']}"
    return document
