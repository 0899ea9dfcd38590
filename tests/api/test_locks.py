"""What requests lock of records: for each, the other side is held at the moment that matters."""

import asyncio
import io
from typing import Any

import asyncpg
import httpx
import pytest

from api.crud.imports.load import Loaded, load_csv
from api.crud.imports.targets import ImportRefused
from tests.api.holding import committing_client, database, holding, until_it_waits
from tests.api.records import ANIMALS, RESOURCES, STAFF, Resource, make
from tests.conftest import state_of

__all__ = ["committing_client", "database"]  # fixtures

every_resource = pytest.mark.parametrize("resource", RESOURCES, ids=str)
occupants = pytest.mark.parametrize("resource", [ANIMALS, STAFF], ids=str)


async def load(client: httpx.AsyncClient, resource: str, file: str, *, update: bool = False) -> Loaded:
    async with state_of(client).sessionmaker.begin() as session:
        return await load_csv(session, resource, io.BytesIO(file.encode()), update=update)


class TestRecords:
    @every_resource
    @pytest.mark.parametrize(("method", "action"), [("PATCH", ""), ("DELETE", ""), ("POST", "/restore")])
    async def test_a_precondition_is_about_the_newest_state(
        self,
        committing_client: httpx.AsyncClient,
        admin: asyncpg.Connection,
        resource: Resource,
        method: str,
        action: str,
    ) -> None:
        path = f"{resource.path}/{(await make(committing_client, resource.path))['id']}"
        seen = {"If-Match": (await committing_client.get(path)).headers["ETag"]}
        async with holding(admin, f"UPDATE {resource.path[1:]} SET name = 'Another'"):
            body = {"name": "Lost"} if method == "PATCH" else None
            request = committing_client.request(method, path + action, json=body, headers=seen)
            asked = asyncio.create_task(request)
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 412
        assert (await committing_client.get(path)).json()["name"] == "Another"

    @every_resource
    async def test_a_change_is_of_the_newest_state(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource
    ) -> None:
        path = f"{resource.path}/{(await make(committing_client, resource.path, name='A'))['id']}"
        async with holding(admin, f"UPDATE {resource.path[1:]} SET name = 'B'"):
            asked = asyncio.create_task(committing_client.patch(path, json={"name": "A"}))
            await until_it_waits(admin, asked)
        assert (await asked).json()["name"] == (await committing_client.get(path)).json()["name"] == "A"

    @every_resource
    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    async def test_while_one_is_being_deleted_it_is_neither_changed_nor_deleted_again(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource, method: str
    ) -> None:
        path = f"{resource.path}/{(await make(committing_client, resource.path))['id']}"
        async with holding(admin, f"UPDATE {resource.path[1:]} SET deleted_at = now(), name = 'Gone'"):
            body = {"name": "Lost"} if method == "PATCH" else None
            asked = asyncio.create_task(committing_client.request(method, path, json=body))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 404
        assert (await committing_client.post(f"{path}/restore")).json()["name"] == "Gone"

    @every_resource
    async def test_changes_of_different_fields_both_last(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource
    ) -> None:
        path = f"{resource.path}/{(await make(committing_client, resource.path))['id']}"
        async with holding(admin, f"UPDATE {resource.path[1:]} SET {resource.optional[0]} = 'Other'"):
            asked = asyncio.create_task(committing_client.patch(path, json={"name": "Amara"}))
            await until_it_waits(admin, asked)
        assert (await asked).json() == (await committing_client.get(path)).json()
        assert ((await asked).json()["name"], (await asked).json()[resource.optional[0]]) == ("Amara", "Other")


class TestOccupants:
    @occupants
    @pytest.mark.parametrize("how", ["create", "move", "restore"])
    async def test_nothing_comes_into_an_exhibit_that_is_being_deleted(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource, how: str
    ) -> None:
        exhibit = (await make(committing_client, "/exhibits"))["id"]
        before = exhibit if how == "restore" else None
        path = f"{resource.path}/{(await make(committing_client, resource.path, exhibit_id=before))['id']}"
        requests: dict[str, tuple[str, str, Any]] = {
            "create": ("POST", resource.path, {"name": "A", "exhibit_id": exhibit}),
            "move": ("PATCH", path, {"exhibit_id": exhibit}),
            "restore": ("POST", f"{path}/restore", None),
        }
        if how == "restore":
            await committing_client.delete(path)
        method, url, body = requests[how]
        async with holding(admin, "UPDATE exhibits SET deleted_at = now() WHERE id = $1", exhibit):
            asked = asyncio.create_task(committing_client.request(method, url, json=body))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == (409 if how == "restore" else 422)
        live = f"SELECT count(*) FROM {resource.path[1:]} WHERE exhibit_id = $1 AND deleted_at IS NULL"
        assert await admin.fetchval(live, exhibit) == 0

    @occupants
    async def test_an_exhibit_is_not_deleted_while_something_comes_into_it(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource
    ) -> None:
        exhibit = (await make(committing_client, "/exhibits"))["id"]
        async with holding(admin, "SELECT FROM exhibits WHERE id = $1 FOR SHARE", exhibit):  # as a request does
            await admin.execute(f"INSERT INTO {resource.path[1:]} (name, exhibit_id) VALUES ('A', $1)", exhibit)
            asked = asyncio.create_task(committing_client.delete(f"/exhibits/{exhibit}"))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 409
        assert (await committing_client.get(f"/exhibits/{exhibit}")).status_code == 200


class TestImports:
    async def test_an_exhibit_that_is_being_deleted_is_not_used(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        exhibit = (await make(committing_client, "/exhibits"))["id"]
        async with holding(admin, "UPDATE exhibits SET deleted_at = now() WHERE id = $1", exhibit):
            loading = asyncio.create_task(load(committing_client, "animals", f"name,exhibit_id\nA,{exhibit}\n"))
            await until_it_waits(admin, loading)
        with pytest.raises(ImportRefused, match=f"exhibit {exhibit} was deleted meanwhile"):
            await loading
        assert await admin.fetchval("SELECT count(*) FROM animals WHERE exhibit_id = $1", exhibit) == 0

    async def test_a_record_that_changes_at_this_moment_is_as_in_the_file_then(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        animal = (await make(committing_client, "/animals", name="A"))["id"]
        async with holding(admin, "UPDATE animals SET name = 'B' WHERE id = $1", animal):
            loading = asyncio.create_task(load(committing_client, "animals", f"id,name\n{animal},A\n", update=True))
            await until_it_waits(admin, loading)
        assert await loading == Loaded(changed=1)
        assert (await committing_client.get(f"/animals/{animal}")).json()["name"] == "A"
