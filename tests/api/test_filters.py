"""The lists' filters."""

import httpx
import pytest

from api.schemas.text import Line, Name
from tests.api.records import RESOURCES, Resource, make

every_filter = pytest.mark.parametrize(
    ("resource", "field"),
    [(resource, field) for resource in RESOURCES for field in resource.api.model.__filters__],
    ids=str,
)


@every_filter
async def test_a_filter_finds_only_exact_matches(client: httpx.AsyncClient, resource: Resource, field: str) -> None:
    values = [resource.another(field) for _ in range(2)]
    if field in resource.of_kind(Name, Line):
        values = ["Lemur catta & co", "Lemur catta", "lemur catta & co"]
    match, *_ = [await make(client, resource.path, **{field: value}) for value in values]
    found = await client.get(resource.path, params={field: values[0]})
    assert found.json() == [match], found.text


async def test_filters_are_combined(client: httpx.AsyncClient) -> None:
    exhibit = await make(client, "/exhibits")
    match = await make(client, "/animals", name="Leo", species="Panthera leo", exhibit_id=exhibit["id"])
    await make(client, "/animals", name="Leo", species="Panthera leo")
    await make(client, "/animals", name="Leo", species="Lemur catta", exhibit_id=exhibit["id"])
    params = {"name": "Leo", "species": "Panthera leo", "exhibit_id": exhibit["id"]}
    assert (await client.get("/animals", params=params)).json() == [match]
    nested = await client.get(f"/exhibits/{exhibit['id']}/animals", params={"species": "Panthera leo"})
    assert nested.json() == [match]


async def test_the_next_link_keeps_the_filters(client: httpx.AsyncClient) -> None:
    wanted = [await make(client, "/animals", species="Grus grus & co") for _ in range(2)]
    await make(client, "/animals")
    first = await client.get("/animals", params={"species": "Grus grus & co", "limit": 1, "offset": 0})
    second = await client.get(first.links["next"]["url"])
    assert first.json() + second.json() == wanted
    assert "Link" not in second.headers


async def test_an_unknown_filter_is_refused_rather_than_ignored(client: httpx.AsyncClient) -> None:
    answer = await client.get("/animals", params={"specie": "Panthera leo"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "specie"]
