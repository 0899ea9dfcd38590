"""Invalid input gets a 4xx that says where and why, and never a 500."""

import json

import httpx
import pytest

from api.schemas.fields import Email
from api.schemas.text import Line, Name, Prose
from tests.api.records import Resource, every_field, every_resource, make, new
from tests.each import each

JSON = {"Content-Type": "application/json"}


def where(answer: httpx.Response) -> list[str | int]:
    assert answer.status_code == 422, answer.text
    loc: list[str | int] = answer.json()["detail"][0]["loc"]
    return loc


@every_field(Name)
async def test_a_name_that_is_null_or_blank(client: httpx.AsyncClient, resource: Resource, field: str) -> None:
    record, body = await make(client, resource.path), await new(client, resource)
    for name in (None, " "):
        for answer in (
            await client.post(resource.path, json=body | {field: name}),
            await client.patch(f"{resource.path}/{record['id']}", json={field: name}),
        ):
            assert where(answer) == ["body", field]


async def test_an_invalid_name(client: httpx.AsyncClient) -> None:
    names: list[object] = ["", "x" * 201, "x" * 100_000, "a\x00b", "\x00", 1, True, ["a"], {}]
    for name in names:
        answer = await client.post("/animals", json={"name": name})
        assert (answer.status_code, name) == (422, name)
        assert where(answer) == ["body", "name"]


@every_resource
async def test_a_missing_field(client: httpx.AsyncClient, resource: Resource) -> None:
    body = await new(client, resource)
    for field in resource.required:
        without = {name: value for name, value in body.items() if name != field}
        assert where(await client.post(resource.path, json=without)) == ["body", field]


@every_field(Name)
async def test_the_longest_name_is_accepted(client: httpx.AsyncClient, resource: Resource, field: str) -> None:
    assert (await make(client, resource.path, **{field: "ñ" * 200}))[field] == "ñ" * 200


@every_resource
async def test_an_unknown_field(client: httpx.AsyncClient, resource: Resource) -> None:
    record = await make(client, resource.path)
    body = await new(client, resource, unknown="red")
    assert where(await client.post(resource.path, json=body)) == ["body", "unknown"]
    assert where(await client.patch(f"{resource.path}/{record['id']}", json={"unknown": "red"})) == ["body", "unknown"]


@every_resource
async def test_nul_and_length_in_texts(client: httpx.AsyncClient, resource: Resource) -> None:
    body = await new(client, resource)
    for field in resource.of_kind(Name, Line, Prose, Email):
        for value in ("a\x00b", "x" * 10_001):
            assert where(await client.post(resource.path, json=body | {field: value})) == ["body", field]


@every_resource
async def test_an_id_that_no_record_can_have(client: httpx.AsyncClient, resource: Resource) -> None:
    for record_id in ("0", str(2**63)):
        url = f"{resource.path}/{record_id}"
        answers = [await client.get(url), await client.delete(url), await client.patch(url, json=resource.change())]
        assert {answer.status_code for answer in answers} == {422}


async def test_an_invalid_id(client: httpx.AsyncClient) -> None:
    for record_id in ("-1", "9" * 40, "x", "1.5", "%00", "1e3"):
        assert (await client.get(f"/animals/{record_id}")).status_code == 422, record_id


async def test_json_that_is_not_an_object(client: httpx.AsyncClient) -> None:
    for body in ("", "null", "[]", '"A"', "1"):
        assert where(await client.post("/animals", content=body, headers=JSON)) == ["body"], body


async def test_another_content_type_is_415(client: httpx.AsyncClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml", ""):
        answer = await client.post("/animals", content='{"name": "A"}', headers={"Content-Type": content_type})
        assert answer.status_code == 415, content_type
        assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/hal+json"]
)
async def test_json_with_another_media_type_is_accepted(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post("/animals", content='{"name": "A"}', headers={"Content-Type": content_type})
    assert answer.status_code == 201


async def test_broken_unicode_is_422_and_quoted_safely(client: httpx.AsyncClient) -> None:
    for body in ('{"name": "\\ud800"}', '{"name": "A", "\\ud800": 1}'):
        answer = await client.post("/animals", content=body, headers=JSON)
        assert answer.status_code == 422
        json.loads(answer.content)


async def test_a_filter_that_cannot_match(client: httpx.AsyncClient) -> None:
    for query in ("name=%00", "species=a%00b", "exhibit_id=0", f"exhibit_id={2**63}", "exhibit_id=x"):
        assert where(await client.get(f"/animals?{query}")) == ["query", query.partition("=")[0]]


async def test_a_filter_that_is_not_utf_8_matches_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.get("/animals?name=%ff")).json() == []


async def test_errors_do_not_repeat_the_input(client: httpx.AsyncClient) -> None:
    answer = await client.post("/animals", json={"name": "A", "secret" * 20: "secret" * 20, "species": ["secret" * 20]})
    assert answer.status_code == 422
    assert "secretsecret" * 10 not in answer.text


@each(
    "method, path, status",
    [("GET", "/nothing", 404), ("PUT", "/animals", 405), ("POST", "/animals/1", 405), ("DELETE", "/animals", 405)],
)
async def test_unknown_routes_and_methods_answer_in_json(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    if status == 405:
        allowed = set(answer.headers["Allow"].split(", "))
        assert allowed == {"GET", "HEAD", "OPTIONS"} | ({"POST"} if path == "/animals" else {"PATCH", "DELETE"})
    assert isinstance(answer.json()["detail"], str)
