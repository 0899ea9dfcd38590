"""What requests lock of records: for each, the other side is held at the moment that matters."""

import asyncio
import io
from typing import Any

import asyncpg
import httpx
import pytest

from api.crud.imports.load import Loaded, load_csv
from api.crud.imports.parents import ImportRefused
from api.crud.resources import RESOURCES
from tests.api import records as tested
from tests.api.holding import committing_client, database, holding, until_it_waits
from tests.api.records import Resource, every_reference, make, new
from tests.conftest import state_of

__all__ = ["committing_client", "database"]  # fixtures


async def load(client: httpx.AsyncClient, resource: str, file: str, *, update: bool = False) -> Loaded:
    async with state_of(client).sessionmaker.begin() as session:
        return await load_csv(session, RESOURCES[resource], io.BytesIO(file.encode()), update=update)


# The same code locks the records of all, but deletes those that others may belong to in another way.
every_kind = pytest.mark.parametrize(
    "resource", {bool(resource.api.children): resource for resource in tested.RESOURCES}.values(), ids=str
)


def touch(resource: Resource) -> str:
    """SQL that changes all records, though no field."""
    return f"UPDATE {resource.quoted} SET updated_at = clock_timestamp()"


class TestRecords:
    @every_kind
    @pytest.mark.parametrize(("method", "action"), [("PATCH", ""), ("DELETE", ""), ("POST", "/restore")])
    async def test_a_precondition_is_about_the_newest_state(
        self,
        committing_client: httpx.AsyncClient,
        admin: asyncpg.Connection,
        resource: Resource,
        method: str,
        action: str,
    ) -> None:
        made = await make(committing_client, resource.path)
        path = f"{resource.path}/{made['id']}"
        seen = {"If-Match": (await committing_client.get(path)).headers["ETag"]}
        async with holding(admin, touch(resource)):
            body = resource.change() if method == "PATCH" else None
            request = committing_client.request(method, path + action, json=body, headers=seen)
            asked = asyncio.create_task(request)
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 412
        now = (await committing_client.get(path)).json()
        assert now == made | {"updated_at": now["updated_at"]} != made

    @every_kind
    async def test_a_change_is_of_the_newest_state(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource
    ) -> None:
        made = await make(committing_client, resource.path)
        path, field = f"{resource.path}/{made['id']}", resource.changeable
        async with holding(
            admin,
            f"UPDATE {resource.quoted} SET {resource.column(field)} = $1 WHERE id = $2",
            resource.stored(field, resource.another(field)),
            made["id"],
        ):
            asked = asyncio.create_task(committing_client.patch(path, json={field: made[field]}))
            await until_it_waits(admin, asked)
        assert (await asked).json()[field] == (await committing_client.get(path)).json()[field] == made[field]

    @every_kind
    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    async def test_while_one_is_being_deleted_it_is_neither_changed_nor_deleted_again(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource, method: str
    ) -> None:
        made = await make(committing_client, resource.path)
        path, field = f"{resource.path}/{made['id']}", resource.changeable
        async with holding(admin, f"UPDATE {resource.quoted} SET deleted_at = now() WHERE id = $1", made["id"]):
            body = resource.change() if method == "PATCH" else None
            asked = asyncio.create_task(committing_client.request(method, path, json=body))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 404
        assert (await committing_client.post(f"{path}/restore")).json()[field] == made[field]

    @every_kind
    async def test_what_refers_to_one_holds_up_no_change_of_it(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource
    ) -> None:
        made = await make(committing_client, resource.path)
        path = f"{resource.path}/{made['id']}"
        async with holding(admin, f"SELECT FROM {resource.quoted} WHERE id = $1 FOR KEY SHARE", made["id"]):
            assert (await committing_client.patch(path, json=resource.change())).status_code == 200
            assert (await committing_client.post(f"{path}/restore")).status_code == 200

    @every_kind
    async def test_changes_of_different_fields_both_last(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource
    ) -> None:
        made, change = await make(committing_client, resource.path), resource.change()
        async with holding(admin, touch(resource)):
            asked = asyncio.create_task(committing_client.patch(f"{resource.path}/{made['id']}", json=change))
            await until_it_waits(admin, asked)
        assert (await asked).json() == (await committing_client.get(f"{resource.path}/{made['id']}")).json()
        assert (await asked).json() == made | change | {"updated_at": (await asked).json()["updated_at"]}


class TestReferences:
    @every_reference
    @pytest.mark.parametrize("how", ["create", "move", "restore"])
    async def test_nothing_comes_to_what_is_being_deleted(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource, field: str, how: str
    ) -> None:
        above = resource.parents[field]
        parent = (await make(committing_client, above.path))["id"]
        before = {field: parent} if how == "restore" else {}
        path = f"{resource.path}/{(await make(committing_client, resource.path, **before))['id']}"
        requests: dict[str, tuple[str, str, Any]] = {
            "create": ("POST", resource.path, await new(committing_client, resource, **{field: parent})),
            "move": ("PATCH", path, {field: parent}),
            "restore": ("POST", f"{path}/restore", None),
        }
        if how == "restore":
            await committing_client.delete(path)
        method, url, body = requests[how]
        async with holding(admin, f"UPDATE {above.quoted} SET deleted_at = now() WHERE id = $1", parent):
            asked = asyncio.create_task(committing_client.request(method, url, json=body))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == (409 if how == "restore" else 422)
        live = f"SELECT count(*) FROM {resource.quoted} WHERE {resource.column(field)} = $1 AND deleted_at IS NULL"
        assert await admin.fetchval(live, parent) == 0

    @every_reference
    async def test_nothing_is_deleted_while_something_comes_to_it(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, resource: Resource, field: str
    ) -> None:
        above = resource.parents[field]
        parent = (await make(committing_client, above.path))["id"]
        made = (await make(committing_client, resource.path))["id"]
        # As a request does.
        async with holding(admin, f"SELECT FROM {above.quoted} WHERE id = $1 FOR SHARE", parent):
            await admin.execute(
                f"UPDATE {resource.quoted} SET {resource.column(field)} = $1 WHERE id = $2", parent, made
            )
            asked = asyncio.create_task(committing_client.delete(f"{above.path}/{parent}"))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 409
        assert (await committing_client.get(f"{above.path}/{parent}")).status_code == 200


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

    async def test_an_exhibit_that_is_not_used_is_not_waited_for(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        used, other = [(await make(committing_client, "/exhibits"))["id"] for _ in range(2)]
        async with holding(admin, "UPDATE exhibits SET deleted_at = now() WHERE id = $1", other), asyncio.timeout(30):
            assert await load(committing_client, "animals", f"name,exhibit_id\nA,{used}\n") == Loaded(new=1)

    async def test_a_record_that_changes_at_this_moment_is_as_in_the_file_then(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        animal = (await make(committing_client, "/animals", name="A"))["id"]
        async with holding(admin, "UPDATE animals SET name = 'B' WHERE id = $1", animal):
            loading = asyncio.create_task(load(committing_client, "animals", f"id,name\n{animal},A\n", update=True))
            await until_it_waits(admin, loading)
        assert await loading == Loaded(changed=1)
        assert (await committing_client.get(f"/animals/{animal}")).json()["name"] == "A"
