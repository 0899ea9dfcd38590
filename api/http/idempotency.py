"""Idempotency-Key: what it stands for, and the answer to a request that was done before.

Every route that changes something honours it or, as the default, refuses it: no key is ever ignored.
"""

from collections.abc import Callable, Collection, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ValidationError

from api.errors import Unprocessable
from api.http.findings import finding
from api.http.methods import SAFE_METHODS

HEADER = "Idempotency-Key"
ANSWER = "zoo.answer"  # in the scope of a request
REFUSED = (
    "This request can't be done once by a key, because nobody could be given its answer again, or because it has a"
    " password in it: send it without one"
)


class DoneBefore(Exception):
    """The request was done before: `response` is its answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def by_key(handle: Handler, dependant: Dependant, methods: Collection[str]) -> Handler:
    """The handler of a route, as the route does with keys."""
    if _takes_key(dependant):
        return _once(handle)
    return handle if SAFE_METHODS.issuperset(methods) else _without(handle)


def _takes_key(dependant: Dependant) -> bool:
    """Whether a route, or something that it depends on, reads the key."""
    return any(field.alias == HEADER for field in dependant.header_params) or any(
        map(_takes_key, dependant.dependencies)
    )


def _once(handle: Handler) -> Handler:
    """The handler, whose answer is known before its transaction is committed, or that gives one of before."""

    async def handle_once(request: Request) -> Response:
        try:
            response = await handle(request)
        except DoneBefore as done:
            return done.response
        request.scope[ANSWER] = response
        return response

    return handle_once


def _without(handle: Handler) -> Handler:
    """The handler, which refuses a key, because it can't honour it."""

    async def handle_without(request: Request) -> Response:
        if HEADER in request.headers:
            raise Unprocessable([finding("unsupported", ["header", HEADER], REFUSED)])
        return await handle(request)

    return handle_without


def operation_of(request: Request) -> str:
    """What is asked for: the method, and the path below the api's own."""
    path: str = request.scope["route"].path_format
    return f"{request.method} {path.format(**request.path_params)}"


async def body_of(request: Request) -> str | None:
    """The body as its model reads it, however it is written; None if it can't be read, which FastAPI will report."""
    field = request.scope["route"].body_field
    if field is None or not await request.body():
        return ""
    model: type[BaseModel] = field.field_info.annotation
    try:
        found: Any = model.model_validate(await request.json())
    except ValidationError:
        return None
    # What is left out of a change is not the same as null.
    return str(found.model_dump_json(exclude_unset=request.method == "PATCH"))
