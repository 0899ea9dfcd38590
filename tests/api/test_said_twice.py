"""Ambiguous requests are refused: those in which something occurs twice, or with invalid JSON."""

import httpx
import pytest
from pydantic import ValidationError

from api.http.json_body import parse
from tests.api.records import make
from tests.each import each

JSON = {"Content-Type": "application/json"}


def found(answer: httpx.Response) -> tuple[str, list[str | int]]:
    """The kind of the first finding, and where it is."""
    assert answer.status_code == 422, answer.text
    first = answer.json()["detail"][0]
    assert first["msg"]
    return first["type"], first["loc"]


@each(
    "path, name",
    [
        ("/animals?limit=1&limit=100", "limit"),
        ("/animals?name=A&after=1&name=A", "name"),
        ("/animals?name=A&n%61me=B", "name"),
        ("/animals?name&name", "name"),
        ("/animals?colour=1&colour=2", "colour"),
        ("/animals/1?x=1&x=2", "x"),
        ("/exhibits/1/animals?limit=1&limit=2", "limit"),
        ("/exhibits?after=1&after=2", "after"),
    ],
)
async def test_a_repeated_parameter(client: httpx.AsyncClient, path: str, name: str) -> None:
    assert found(await client.get(path)) == ("repeated", ["query", name])


@each(
    "method, path",
    [
        ("GET", "/animals/1"),
        ("GET", "/health"),
        ("POST", "/animals"),
        ("PATCH", "/animals/1"),
        ("DELETE", "/animals/1"),
    ],
)
async def test_an_unknown_parameter_of_a_route_without_any(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert found(await client.request(method, f"{path}?x=1")) == ("extra_forbidden", ["query", "x"])


async def test_a_repeated_key(client: httpx.AsyncClient) -> None:
    animal = await make(client, "/animals")
    for method, url, body, key in [
        ("POST", "/animals", '{"name": "A", "name": "B"}', "name"),
        ("POST", "/animals", '{"name": "A", "n\\u0061me": "A"}', "name"),
        ("PATCH", f"/animals/{animal['id']}", '{"species": null, "species": "B"}', "species"),
        ("POST", "/animals", '{"name": "A", "description": {"a": [{"b": 1, "b": 1}]}}', "b"),
    ]:
        assert found(await client.request(method, url, content=body, headers=JSON)) == ("repeated", ["body", key])


INVALID = [
    b"{",
    b"nul",
    b'{"a": "A",}',
    b"[1, 2",
    b"NaN",
    b'{"name": NaN}',
    b'{"name": "A", "exhibit_id": Infinity}',
    b'{"name": "A", "exhibit_id": -Infinity}',
    '{"name": "A"}'.encode("utf-16"),
    '{"name": "A"}'.encode("utf-32-le"),
    b'\xef\xbb\xbf{"name": "A"}',
    b'{"name": "\xff"}',
    b'{"name": "\xed\xa0\x80"}',
    b'{"name": "\xc0\xaf"}',
    b'{"name": "a\nb"}',
    b"{'name': 'A'}",
    b'{"name": "A"}{"name": "B"}',
    b'{"name": "A", // comment\n "species": null}',
    b'{"name": 0x41}',
    b'{"name": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
]


async def test_invalid_json(client: httpx.AsyncClient) -> None:
    assert found(await client.post("/animals", content=b"{", headers=JSON)) == ("json_invalid", ["body", 1])


@each("body", INVALID)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(body)
    assert [error["type"] for error in caught.value.errors()] == ["json_invalid"]


def test_valid_json_is_accepted() -> None:
    body = '{"a": [1, -0.5e3, true, null, "\\ud83e\\udd92 🦒"], "b": {"a": {}}, "": []}'
    assert parse(body.encode()) == {"a": [1, -500.0, True, None, "🦒 🦒"], "b": {"a": {}}, "": []}


@each(
    "name",
    ["Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key", "Origin"],
)
async def test_a_repeated_header(client: httpx.AsyncClient, name: str) -> None:
    value = {"Authorization": "Bearer x", "Content-Encoding": "identity"}.get(name, "application/json")
    headers = [*JSON.items(), (name, value), (name.lower(), value)]
    answer = await client.post("/animals", json={"name": "A"}, headers=headers)
    assert found(answer) == ("repeated", ["header", name.lower()])
    assert (await client.get("/animals")).json() == []
