"""Invalid input gets a 4xx that says where and why, and never a 500."""

import json

import httpx
import pytest

from tests.api.records import RESOURCES, Resource, make

JSON = {"Content-Type": "application/json"}
every_resource = pytest.mark.parametrize("resource", RESOURCES, ids=str)


def where(answer: httpx.Response) -> list[str | int]:
    assert answer.status_code == 422, answer.text
    loc: list[str | int] = answer.json()["detail"][0]["loc"]
    return loc


@every_resource
@pytest.mark.parametrize(
    "name",
    [None, "", "   ", "x" * 201, "x" * 100_000, "a\x00b", "\x00", 1, True, ["a"], {}],
    ids=["null", "empty", "blank", "long", "100kB", "NUL inside", "NUL", "number", "boolean", "array", "object"],
)
async def test_an_invalid_name(client: httpx.AsyncClient, resource: Resource, name: object) -> None:
    record = await make(client, resource.path)
    assert where(await client.post(resource.path, json={"name": name})) == ["body", "name"]
    assert where(await client.patch(f"{resource.path}/{record['id']}", json={"name": name})) == ["body", "name"]


@every_resource
async def test_a_missing_name(client: httpx.AsyncClient, resource: Resource) -> None:
    assert where(await client.post(resource.path, json={})) == ["body", "name"]


@every_resource
async def test_the_longest_name_is_accepted(client: httpx.AsyncClient, resource: Resource) -> None:
    assert (await make(client, resource.path, name="ñ" * 200))["name"] == "ñ" * 200


@every_resource
async def test_an_unknown_field(client: httpx.AsyncClient, resource: Resource) -> None:
    record = await make(client, resource.path)
    assert where(await client.post(resource.path, json={"name": "A", "colour": "red"})) == ["body", "colour"]
    assert where(await client.patch(f"{resource.path}/{record['id']}", json={"colour": "red"})) == ["body", "colour"]


@every_resource
async def test_nul_and_length_in_optional_texts(client: httpx.AsyncClient, resource: Resource) -> None:
    for field in resource.optional:
        if field == "exhibit_id":
            continue
        for value in ("a\x00b", "x" * 10_001):
            assert where(await client.post(resource.path, json={"name": "A", field: value})) == ["body", field]


@every_resource
@pytest.mark.parametrize("record_id", ["0", "-1", str(2**63), "9" * 40, "x", "1.5", "%00", "1e3"])
async def test_an_invalid_id(client: httpx.AsyncClient, resource: Resource, record_id: str) -> None:
    url = f"{resource.path}/{record_id}"
    answers = [await client.get(url), await client.delete(url), await client.patch(url, json={"name": "A"})]
    assert {answer.status_code for answer in answers} == {422}


@every_resource
@pytest.mark.parametrize(
    "body",
    [
        "{",
        "",
        "nul",
        '{"name": "A",}',
        "[1, 2",
        '{"name": "A"} x',
        "\xff\xfe",
        "[" * 100_000,
        '{"name": %s}' % ("9" * 5000),
    ],
    ids=["cut", "empty", "word", "comma", "array", "trailing", "not UTF-8", "deep", "huge number"],
)
async def test_malformed_json(client: httpx.AsyncClient, resource: Resource, body: str) -> None:
    answer = await client.post(resource.path, content=body.encode("latin-1"), headers=JSON)
    assert answer.status_code in {400, 422}
    assert answer.json()["detail"]


@every_resource
@pytest.mark.parametrize("body", ["null", "[]", '"A"', "1", "NaN"])
async def test_json_that_is_not_an_object(client: httpx.AsyncClient, resource: Resource, body: str) -> None:
    assert where(await client.post(resource.path, content=body, headers=JSON)) == ["body"]


@every_resource
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
async def test_another_content_type_is_415(client: httpx.AsyncClient, resource: Resource, content_type: str) -> None:
    answer = await client.post(resource.path, content='{"name": "A"}', headers={"Content-Type": content_type})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/hal+json"]
)
async def test_json_with_another_media_type_is_accepted(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post("/animals", content='{"name": "A"}', headers={"Content-Type": content_type})
    assert answer.status_code == 201


@every_resource
async def test_broken_unicode_is_422_and_quoted_safely(client: httpx.AsyncClient, resource: Resource) -> None:
    for body in ('{"name": "\\ud800"}', '{"name": "A", "\\ud800": 1}'):
        answer = await client.post(resource.path, content=body, headers=JSON)
        assert answer.status_code == 422
        json.loads(answer.content)


@pytest.mark.parametrize("query", ["name=%00", "species=a%00b", "exhibit_id=0", f"exhibit_id={2**63}", "exhibit_id=x"])
async def test_a_filter_that_cannot_match(client: httpx.AsyncClient, query: str) -> None:
    assert where(await client.get(f"/animals?{query}")) == ["query", query.partition("=")[0]]


async def test_a_filter_that_is_not_utf_8_matches_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.get("/animals?name=%ff")).json() == []


@pytest.mark.parametrize(
    "email", ["", "x", "a@b", "a@@zoo.example", "a b@zoo.example", "A <a@zoo.example>", "a@zoo.example\x00", "a" * 400]
)
async def test_an_invalid_address(client: httpx.AsyncClient, email: str) -> None:
    assert where(await client.post("/staff", json={"name": "A", "email": email})) == ["body", "email"]


async def test_errors_do_not_repeat_the_input_and_are_bounded(client: httpx.AsyncClient) -> None:
    items: list[object] = [{"secret" * 20: "secret" * 20} for _ in range(30)]
    answer = await client.post("/orders", json={"order": items})
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) == 20
    assert len(answer.content) < 6000
    assert "secretsecret" * 10 not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
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
