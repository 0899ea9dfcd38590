"""Requests at the same moment, on real connections of their own, many rounds."""

import asyncio

import httpx

from tests.api.records import make
from tests.rounds import rounds

ROUNDS = rounds(quick=15, full=50)


async def test_of_many_deletes_exactly_one_succeeds(committing_client: httpx.AsyncClient) -> None:
    for _ in range(ROUNDS):
        animal = await make(committing_client, "/animals")
        answers = await asyncio.gather(*(committing_client.delete(f"/animals/{animal['id']}") for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]


async def test_nobody_moves_into_an_exhibit_that_is_being_deleted(committing_client: httpx.AsyncClient) -> None:
    for _ in range(ROUNDS):
        exhibit = await make(committing_client, "/exhibits")
        loner = await make(committing_client, "/staff")
        deleted, created, moved = await asyncio.gather(
            committing_client.delete(f"/exhibits/{exhibit['id']}"),
            committing_client.post("/animals", json={"name": "A", "exhibit_id": exhibit["id"]}),
            committing_client.patch(f"/staff/{loner['id']}", json={"exhibit_id": exhibit["id"]}),
        )
        outcome = deleted.status_code, created.status_code, moved.status_code
        assert outcome in {(200, 422, 422), (409, 201, 200), (409, 201, 422), (409, 422, 200)}
        occupants = (await committing_client.get("/animals", params={"exhibit_id": exhibit["id"]})).json()
        assert len(occupants) == (created.status_code == 201)


async def test_changes_of_different_fields_both_last(committing_client: httpx.AsyncClient) -> None:
    for _ in range(ROUNDS):
        animal = await make(committing_client, "/animals")
        url = f"/animals/{animal['id']}"
        await asyncio.gather(
            committing_client.patch(url, json={"species": "Lemur catta"}),
            committing_client.patch(url, json={"description": "Striped"}),
        )
        changed = (await committing_client.get(url)).json()
        assert (changed["species"], changed["description"]) == ("Lemur catta", "Striped")


async def test_a_change_never_reaches_a_deleted_record(committing_client: httpx.AsyncClient) -> None:
    for _ in range(ROUNDS):
        animal = await make(committing_client, "/animals", name="before")
        url = f"/animals/{animal['id']}"
        deleted, changed = await asyncio.gather(
            committing_client.delete(url), committing_client.patch(url, json={"name": "after"})
        )
        assert deleted.status_code == 200
        assert (changed.status_code, deleted.json()["name"]) in {(200, "after"), (404, "before")}
