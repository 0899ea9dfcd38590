"""Idempotency-Key: what it stands for, and the answer to a request that was done before.

Every route that changes something honours it or, as the default, refuses it: see `Route`.
"""

from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ValidationError

from api.errors import Unprocessable
from api.http.findings import finding

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


def takes_key(dependant: Dependant) -> bool:
    """Whether a route, or something that it depends on, reads the key."""
    return any(field.alias == HEADER for field in dependant.header_params) or any(
        map(takes_key, dependant.dependencies)
    )


def refuse_key() -> None:
    """Unprocessable, because the route can't honour a key."""
    raise Unprocessable([finding("unsupported", ["header", HEADER], REFUSED)])


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
