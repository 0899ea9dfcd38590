"""Records that belong to others: their references, and the lists of those that belong to one."""

import httpx
import pytest

from tests.api.records import Resource, every_list_of, every_reference, make, new

GONE = 2**62


@every_reference
async def test_a_record_can_move_to_another(client: httpx.AsyncClient, resource: Resource, field: str) -> None:
    parent, other = [await make(client, resource.parents[field].path) for _ in range(2)]
    record = await make(client, resource.path, **{field: parent["id"]})
    assert record[field] == parent["id"]
    for to in [other["id"], *([None] if field in resource.optional else [])]:
        moved = await client.patch(f"{resource.path}/{record['id']}", json={field: to})
        assert moved.json()[field] == to


@every_reference
@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "unknown"])
async def test_one_that_does_not_exist_is_422(
    client: httpx.AsyncClient, resource: Resource, field: str, deleted: bool
) -> None:
    above, parent_id = resource.parents[field], GONE
    if deleted:
        parent_id = (await make(client, above.path))["id"]
        await client.delete(f"{above.path}/{parent_id}")
    record = await make(client, resource.path)
    created = await client.post(resource.path, json=await new(client, resource, **{field: parent_id}))
    changed = await client.patch(f"{resource.path}/{record['id']}", json={field: parent_id})
    for answer in (created, changed):
        assert answer.status_code == 422
        assert answer.json()["detail"] == [
            {"type": "reference", "loc": ["body", field], "msg": f"No {above.api.noun} {parent_id}"}
        ]
    assert (await client.get(f"{resource.path}/{record['id']}")).json() == record


@every_reference
async def test_an_id_of_another_type_is_422(client: httpx.AsyncClient, resource: Resource, field: str) -> None:
    body = await new(client, resource)
    for value in (0, -1, 2**63, "1", 1.5, True, [1]):
        answer = await client.post(resource.path, json=body | {field: value})
        assert answer.status_code == 422, value
        assert answer.json()["detail"][0]["loc"] == ["body", field]


@every_reference
async def test_a_list_can_be_of_those_that_belong_to_one(
    client: httpx.AsyncClient, resource: Resource, field: str
) -> None:
    parent, other = [await make(client, resource.parents[field].path) for _ in range(2)]
    mine = [await make(client, resource.path, **{field: parent["id"]}) for _ in range(3)]
    await make(client, resource.path, **{field: other["id"]})
    await make(client, resource.path)
    await client.delete(f"{resource.path}/{mine[0]['id']}")
    assert (await client.get(resource.path, params={field: parent["id"]})).json() == mine[1:]


@every_list_of
async def test_it_has_pages_whose_links_have_only_characters_of_urls(
    client: httpx.AsyncClient, resource: Resource, field: str
) -> None:
    above = resource.parents[field].path
    parent = await make(client, above)
    made = [await make(client, resource.path, **{field: parent["id"]}) for _ in range(2)]
    await make(client, resource.path)
    for blank in ("", "%0D%0A", "%20", "%E2%80%83"):
        path = f"{above}/{parent['id']}{blank}{resource.path}?limit=1"
        first = await client.get(path)
        assert first.links["next"]["url"] == f"{path}&after={made[0]['id']}"
        second = await client.get(first.links["next"]["url"])
        assert first.json() + second.json() == made
        assert "Link" not in second.headers


@every_list_of
async def test_of_one_that_does_not_exist_it_is_404(client: httpx.AsyncClient, resource: Resource, field: str) -> None:
    assert (await client.get(f"{resource.parents[field].path}/{GONE}{resource.path}")).status_code == 404


@every_reference
async def test_what_others_belong_to_cannot_be_deleted(
    client: httpx.AsyncClient, resource: Resource, field: str
) -> None:
    above = resource.parents[field].path
    parent = await make(client, above)
    record = await make(client, resource.path, **{field: parent["id"]})
    refused = await client.delete(f"{above}/{parent['id']}")
    assert refused.status_code == 409
    assert resource.name in refused.json()["detail"]
    assert (await client.get(f"{above}/{parent['id']}")).status_code == 200
    await client.delete(f"{resource.path}/{record['id']}")
    assert (await client.delete(f"{above}/{parent['id']}")).status_code == 200
