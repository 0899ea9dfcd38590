"""Limits on all parts of a request: what exceeds them is refused before it is processed."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from api.crud.resources import RESOURCES
from api.http.route import KIB, MAX_PARAMETERS, Route
from api.schemas.animals import AnimalCreate
from api.schemas.fields import RequestBody
from api.schemas.text import Line, Name, Prose
from tests.api.records import Resource, complete, every_resource
from tests.conftest import Served

JSON = {"Content-Type": "application/json"}


async def in_bits(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


async def refuses_over(
    largest: int, client: httpx.AsyncClient, path: str, headers: dict[str, str] = JSON, *, announced: bool
) -> None:
    """That a body of so many KiB is read, and one that is longer is 413."""
    body = b"x" * largest * KIB
    for sent, expected in ((body, 422), (body + b"x", 413)):
        answer = await client.post(path, content=sent if announced else in_bits(sent), headers=headers)
        assert answer.status_code == expected, answer.text
    assert answer.json()["detail"] == f"The body is over {largest} KiB: send less at a time"


class TestBody:
    @pytest.mark.parametrize("announced", [True, False], ids=["announced", "streamed"])
    async def test_a_body_over_its_routes_limit_is_413_and_one_of_that_size_is_read(
        self, client: httpx.AsyncClient, announced: bool
    ) -> None:
        await refuses_over(128, client, "/animals", announced=announced)

    async def test_if_its_length_is_announced_not_a_byte_of_it_is_read(self, client: httpx.AsyncClient) -> None:
        read: list[int] = []

        async def endless() -> AsyncIterator[bytes]:
            while len(read) < 1000:
                read.append(1)
                yield b" " * KIB

        headers = JSON | {"Content-Length": str(10 * 2**20)}
        assert (await client.post("/animals", content=endless(), headers=headers)).status_code == 413
        assert read == []
        assert (await client.post("/animals", content=endless(), headers=JSON)).status_code == 413
        assert len(read) == 129

    def test_every_route_with_a_body_has_a_limit_and_documents_it(self, app: Served) -> None:
        document = app.app.openapi()
        routes = [route for route in app.app.routes if isinstance(route, APIRoute) and route.body_field]
        assert len(routes) >= 2 * len(RESOURCES)
        for route in routes:
            assert isinstance(route, Route)
            assert route.max_body_size is not None
            assert route.max_body_size <= 1024 * KIB
            assert route.methods
            (method,) = route.methods
            responses = document["paths"][route.path_format][method.lower()]["responses"]
            assert responses["413"]["description"] == f"The body is over {route.max_body_size // KIB} KiB."
            assert {"413", "415", "422"} <= responses.keys()

    @every_resource
    async def test_the_longest_record_is_accepted_however_it_is_escaped(
        self, client: httpx.AsyncClient, resource: Resource
    ) -> None:
        record = await complete(client, resource)
        record |= dict.fromkeys(resource.of_kind(Prose), "🦒" * 10_000)
        record |= dict.fromkeys(resource.of_kind(Name, Line), "🦒" * 200)
        answer = await client.post(resource.path, content=json.dumps(record), headers=JSON)
        assert answer.status_code == 201, answer.text
        assert {name: answer.json()[name] for name in record} == record

    @pytest.mark.parametrize(("path", "kind"), [("/animals", JSON), ("/animals/1/restore", {})])
    async def test_an_encoded_body_is_415(self, client: httpx.AsyncClient, path: str, kind: dict[str, str]) -> None:
        for encoding in ("gzip", "br", "GZIP", "deflate, gzip", "identity, gzip", "x"):
            headers = kind | {"Content-Encoding": encoding}
            answer = await client.post(path, content=b"{}", headers=headers)
            assert answer.status_code == 415, encoding
            assert answer.headers["Accept-Encoding"] == "identity"
            assert "Content-Encoding" in answer.json()["detail"]

    async def test_a_body_with_the_encoding_identity_is_accepted(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/animals", json={"name": "A"}, headers={"Content-Encoding": "Identity"})
        assert answer.status_code == 201


def findings_of(model: type[RequestBody], body: object) -> int:
    """In how many ways the body does not fit the model."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(body)
    return caught.value.error_count()


class TestFindings:
    """The search for errors ends when the answer can hold no more."""

    def test_are_limited_when_they_are_made(self) -> None:
        assert findings_of(AnimalCreate, {f"a{n}": 0 for n in range(20_000)}) == 1

    async def test_if_most_fields_are_unknown_there_is_one_which_names_the_known(
        self, client: httpx.AsyncClient
    ) -> None:
        answer = await client.post("/animals", json={"name": "A"} | {f"a{n}": 0 for n in range(8)})
        (found,) = answer.json()["detail"]
        assert (answer.status_code, found["loc"]) == (422, ["body"])
        assert "name, description, species, exhibit_id" in found["msg"]


class TestQuery:
    async def test_too_many_parameters_are_one_finding(self, client: httpx.AsyncClient) -> None:
        for query in ("&" * 20_000, "&".join(f"a{n}=1" for n in range(MAX_PARAMETERS + 1))):
            answer = await client.get(f"/animals?{query}")
            (found,) = answer.json()["detail"]
            assert (answer.status_code, found["loc"]) == (422, ["query"])
