"""What every route checks before it does anything: a request's size and encoding, and that it can't be misunderstood.

All of it is checked in the head, and the body's size also while it arrives. The body is parsed when it is validated,
which FastAPI does after the dependencies: a client that lacks permission is refused at no greater cost.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from api.errors import Unprocessable, UnsupportedMediaType
from api.http.examples import of_error
from api.http.findings import MAX_FINDINGS, UNKNOWN, finding, refuse_repeated
from api.http.idempotency import by_key
from api.http.json_body import parse
from api.http.query import validated_at_once

TOO_LARGE = 413
KIB = 2**10
DEFAULT_BODY = 8 * KIB  # bytes; more than most records take
MAX_PARAMETERS = 50  # of a query string, or a form

# What libraries, and links in mail, advertisements and social networks, add to any address; and utm_*.
PASSED_OVER = {
    "_", "_ga", "_gl", "dclid", "fbclid", "gbraid", "gclid", "igshid", "mc_cid", "mc_eid", "msclkid", "ttclid",
    "twclid", "wbraid", "yclid",
}  # fmt: skip

# Headers that may have only one value, and that this api uses.
SINGLE = {
    b"authorization",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"idempotency-key",
    b"origin",
}

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
FORM_OR_JSON = f"Send a form, with the header Content-Type: {FORM}, or JSON, with {JSON}"
TOO_MANY = f"More than {MAX_PARAMETERS} parameters"


class ContentEncoded(UnsupportedMediaType):
    """The body is compressed: its size would not be limited by that of what was sent."""

    headers = {"Accept-Encoding": "identity"}  # RFC 9110, section 15.5.16

    def __init__(self) -> None:
        super().__init__("Send the body uncompressed, without Content-Encoding")


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """FastAPI's route, for requests that are limited in size and can't be misunderstood.

    `max_body_size`, in bytes, is declared with the route, or with its router; the document has it at 413.
    (FastAPI has a middleware of its own for it, which answers in plain text: api/main.py leaves it out.)
    """

    def __init__(self, *arguments: Any, max_body_size: int | None = None, **options: Any) -> None:
        super().__init__(*arguments, max_body_size=max_body_size or DEFAULT_BODY, **options)
        if self.body_field is not None and TOO_LARGE in self.responses:
            largest = max_body_size or DEFAULT_BODY
            about = {
                "description": f"The body is over {_in_words(largest)}.",
                "content": of_error(_too_large(largest).detail),
            }
            self.responses = self.responses | {TOO_LARGE: self.responses[TOO_LARGE] | about}

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, after the checks of the request."""
        whole = self.dependant
        self.dependant = validated_at_once(whole)
        handle = super().get_route_handler()
        self.dependant = whole
        parameters, body, max_body_size = frozenset(_parameters(self.dependant)), self.body_field, self.max_body_size
        assert max_body_size is not None  # see __init__
        handle = by_key(handle, self.dependant, self.methods or set())
        if body is None:

            async def handle_checked(request: Request) -> Response:
                return await handle(_checked(request, parameters, max_body_size))

        else:
            is_form = isinstance(body.field_info, Form)

            async def handle_checked(request: Request) -> Response:
                checked = _checked(request, parameters, max_body_size)
                bounded = BoundedRequest(checked, max_body_size)
                if is_form:
                    await bounded.read_form()
                return await handle(bounded)

        return handle_checked


class BoundedRequest(Request):
    """A request whose body is read up to `max_body_size` bytes, and parsed as JSON when it is validated."""

    def __init__(self, request: Request, max_body_size: int) -> None:
        super().__init__(request.scope, request.receive)
        self.max_body_size = max_body_size

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body, chunk by chunk; 413 if it is too large."""
        received = 0
        async with aclosing(super().stream()) as stream:
            async for chunk in stream:
                received += len(chunk)
                if received > self.max_body_size:
                    raise _too_large(self.max_body_size)
                yield chunk

    async def json(self) -> Callable[[], Any]:
        """A function that parses the body: RequestBody calls it."""
        return partial(parse, await self.body())

    async def read_form(self) -> None:
        """Read a form, or the same fields as JSON; the 415 says in which types.

        Not multipart: Starlette would decode it with any codec that the client names; some take minutes for a megabyte.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == JSON:
            self.fields = FormData(_fields_of(await self.body()))
        elif kind == FORM:
            self.fields = await super().form(max_fields=MAX_PARAMETERS)
            refuse_repeated("body", [name for name, _ in self.fields.multi_items()])
        else:
            raise UnsupportedMediaType(FORM_OR_JSON)

    async def form(self, **_: Any) -> FormData:  # type: ignore[override]  # FastAPI only awaits it
        """The fields that `read_form` has read."""
        return self.fields


def _fields_of(body: bytes) -> list[tuple[str, Any]]:
    try:
        found = parse(body)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from error
    if not isinstance(found, dict):
        raise Unprocessable([finding("dict_type", ["body"], "Send an object with the fields of the form")])
    return [(name, value) for name, value in found.items() if value is not None]


def _parameters(dependant: Dependant) -> Iterator[str]:
    """The names that the query may have."""
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from model.model_fields
        else:
            yield parameter.alias
    for dependency in dependant.dependencies:
        yield from _parameters(dependency)


def _checked(request: Request, parameters: frozenset[str], max_body_size: int) -> Request:
    """The request, without the parameters that are passed over, as far as they are not of this route's `parameters`."""
    if single := [header for header in request.scope["headers"] if header[0] in SINGLE]:
        _check_headers(single, max_body_size)
    return _check_query(request, parameters) if request.scope["query_string"] else request


def _check_query(request: Request, parameters: frozenset[str]) -> Request:
    if request.scope["query_string"].count(b"&") >= MAX_PARAMETERS:
        raise Unprocessable([finding("too_many", ["query"], TOO_MANY)])
    sent = request.query_params.multi_items()
    kept = [(name, value) for name, value in sent if name in parameters or not _is_passed_over(name)]
    names = [name for name, _ in kept]
    refuse_repeated("query", names)
    if names and not parameters:
        raise Unprocessable([finding("extra_forbidden", ("query", name), UNKNOWN) for name in names[:MAX_FINDINGS]])
    if len(kept) == len(sent):
        return request
    request.scope["query_string"] = urlencode(kept).encode()
    return Request(request.scope, request.receive)


def _is_passed_over(name: str) -> bool:
    return name in PASSED_OVER or name.startswith("utm_")


def _check_headers(single: list[tuple[bytes, bytes]], max_body_size: int) -> None:
    values = dict(single)
    if len(values) < len(single):
        refuse_repeated("header", [name.decode() for name, _ in single])
    if values.get(b"content-encoding", b"identity").strip().lower() not in {b"identity", b""}:
        raise ContentEncoded
    announced = values.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > max_body_size:
        raise _too_large(max_body_size)


def _too_large(max_body_size: int) -> HTTPException:
    return HTTPException(TOO_LARGE, f"The body is over {_in_words(max_body_size)}: send less at a time")


def _in_words(size: int) -> str:
    return f"{size // KIB} KiB"
