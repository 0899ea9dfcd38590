"""The API's description of itself: what routes declare about their answers."""

from typing import Any

from fastapi.routing import APIRoute

from api.errors import ErrorDetail, FieldErrors, UnsupportedMediaType, ZooError

Responses = dict[int | str, dict[str, Any]]


def operation_id(route: APIRoute) -> str:
    """`<tag>-<function name>`: generated clients name their methods by it."""
    return f"{route.tags[0]}-{route.name}"


def errors(*classes: type[ZooError]) -> Responses:
    """These errors, as a route's `responses`."""
    return {error.status: {"model": error.schema, "description": (error.__doc__ or "").strip()} for error in classes}


def _with_header(status: int, description: str, header: str, about: str) -> Responses:
    headers = {header: {"description": about, "schema": {"type": "string"}}}
    return {status: {"description": description, "headers": headers}}


# What any route may answer.
COMMON: Responses = {
    422: {"model": FieldErrors, "description": "The request does not have the documented form."},
    503: {
        "model": ErrorDetail,
        "description": "The database is away or busy.",
        "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    },
}
# What any route that takes a JSON body may answer besides.
BODY: Responses = {
    400: {"model": ErrorDetail, "description": "The body can't be read, for example because it nests too deep."},
    413: {"model": ErrorDetail, "description": "The body is over 1 MiB."},
    **errors(UnsupportedMediaType),
}
CREATED = BODY | _with_header(201, "The new record.", "Location", "Where the record is found.")
PAGE = _with_header(200, "A page of the list, in id order.", "Link", 'The next page (rel="next"), while there is more.')
