"""Animals and staff in exhibits: their references, and the exhibit's lists of them."""

import httpx
import pytest

from tests.api.records import ANIMALS, STAFF, Resource, make

pytestmark = pytest.mark.parametrize("resource", [ANIMALS, STAFF], ids=str)

GONE = 2**62


async def test_a_record_can_move_into_an_exhibit_and_out(client: httpx.AsyncClient, resource: Resource) -> None:
    exhibit = await make(client, "/exhibits")
    record = await make(client, resource.path, exhibit_id=exhibit["id"])
    assert record["exhibit_id"] == exhibit["id"]
    moved = await client.patch(f"{resource.path}/{record['id']}", json={"exhibit_id": None})
    assert moved.json()["exhibit_id"] is None


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "unknown"])
async def test_an_exhibit_that_does_not_exist_is_422(
    client: httpx.AsyncClient, resource: Resource, deleted: bool
) -> None:
    exhibit_id = GONE
    if deleted:
        exhibit_id = (await make(client, "/exhibits"))["id"]
        await client.delete(f"/exhibits/{exhibit_id}")
    record = await make(client, resource.path)
    created = await client.post(resource.path, json={"name": "A", "exhibit_id": exhibit_id})
    changed = await client.patch(f"{resource.path}/{record['id']}", json={"exhibit_id": exhibit_id})
    for answer in (created, changed):
        assert answer.status_code == 422
        assert answer.json()["detail"] == [
            {"type": "reference", "loc": ["body", "exhibit_id"], "msg": f"No exhibit {exhibit_id}"}
        ]
    assert (await client.get(f"{resource.path}/{record['id']}")).json() == record


@pytest.mark.parametrize("value", [0, -1, 2**63, "1", 1.5, True, [1]])
async def test_an_exhibit_id_of_another_type_is_422(
    client: httpx.AsyncClient, resource: Resource, value: object
) -> None:
    answer = await client.post(resource.path, json={"name": "A", "exhibit_id": value})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "exhibit_id"]


async def test_an_exhibit_lists_its_own_occupants(client: httpx.AsyncClient, resource: Resource) -> None:
    exhibit, other = await make(client, "/exhibits"), await make(client, "/exhibits")
    mine = [await make(client, resource.path, exhibit_id=exhibit["id"]) for _ in range(3)]
    await make(client, resource.path, exhibit_id=other["id"])
    await make(client, resource.path)
    await client.delete(f"{resource.path}/{mine[0]['id']}")
    nested = await client.get(f"/exhibits/{exhibit['id']}{resource.path}")
    filtered = await client.get(resource.path, params={"exhibit_id": exhibit["id"]})
    assert nested.json() == filtered.json() == mine[1:]


@pytest.mark.parametrize("blank", ["%0D%0A", "%20", "%E2%80%83"], ids=["line break", "space", "em space"])
async def test_the_next_link_of_an_exhibits_list_has_only_characters_of_urls(
    client: httpx.AsyncClient, resource: Resource, blank: str
) -> None:
    exhibit = await make(client, "/exhibits")
    ids = [(await make(client, resource.path, exhibit_id=exhibit["id"]))["id"] for _ in range(2)]
    answer = await client.get(f"/exhibits/{exhibit['id']}{blank}{resource.path}?limit=1")
    assert answer.links["next"]["url"] == f"/exhibits/{exhibit['id']}{blank}{resource.path}?limit=1&after={ids[0]}"
    rest = await client.get(answer.links["next"]["url"])
    assert [record["id"] for record in rest.json()] == ids[1:]


async def test_an_exhibits_list_has_pages(client: httpx.AsyncClient, resource: Resource) -> None:
    exhibit = await make(client, "/exhibits")
    ids = [(await make(client, resource.path, exhibit_id=exhibit["id"]))["id"] for _ in range(3)]
    first = await client.get(f"/exhibits/{exhibit['id']}{resource.path}?limit=2")
    second = await client.get(first.links["next"]["url"])
    assert [record["id"] for record in first.json() + second.json()] == ids
    assert "Link" not in second.headers


async def test_an_unknown_exhibits_list_is_404(client: httpx.AsyncClient, resource: Resource) -> None:
    assert (await client.get(f"/exhibits/{GONE}{resource.path}")).status_code == 404


async def test_an_exhibit_with_occupants_cannot_be_deleted(client: httpx.AsyncClient, resource: Resource) -> None:
    exhibit = await make(client, "/exhibits")
    record = await make(client, resource.path, exhibit_id=exhibit["id"])
    refused = await client.delete(f"/exhibits/{exhibit['id']}")
    assert refused.status_code == 409
    assert resource.path.strip("/") in refused.json()["detail"]
    assert (await client.get(f"/exhibits/{exhibit['id']}")).status_code == 200
    await client.delete(f"{resource.path}/{record['id']}")
    assert (await client.delete(f"/exhibits/{exhibit['id']}")).status_code == 200
