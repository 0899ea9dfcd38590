"""What requests lock for photos: the other side is held at the moment that matters."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from api.main import create_app
from local.postgres import Server
from local.storage import Storage
from tests.api.holding import database, holding, until_it_waits
from tests.api.photos.photographing import ABOUT, begin, put
from tests.api.records import make
from tests.conftest import answering, settings_of
from tests.users import email_of

__all__ = ["database"]  # a fixture


@pytest.fixture(scope="module")
async def committing_client(server: Server, database: str, storage: Storage) -> AsyncIterator[httpx.AsyncClient]:
    url, patience = (
        server.url("zoo_api", database),
        dict.fromkeys(("database_pool_timeout", "database_connect_timeout"), 60),
    )
    settings = settings_of(storage.environment(), database_url=url, **patience)
    async with answering(create_app(settings)) as client:
        yield client


@pytest.fixture
async def animal(committing_client: httpx.AsyncClient) -> int:
    made: int = (await make(committing_client, "/animals"))["id"]
    return made


CHANGES = [("POST", ABOUT), ("PATCH", {"alt": "new"}), ("DELETE", None)]


async def change(client: httpx.AsyncClient, animal: int, method: str, body: object) -> int:
    path = f"/animals/{animal}/photos"
    if method != "POST":
        path += f"/{(await client.get(path)).json()[0]['id']}"
    return (await client.request(method, path, json=body)).status_code


@pytest.mark.parametrize(("method", "body"), CHANGES)
async def test_the_photos_of_an_animal_change_one_after_the_other(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, animal: int, method: str, body: object
) -> None:
    await begin(committing_client, animal)
    async with holding(admin, "SELECT FROM animals WHERE id = $1 FOR NO KEY UPDATE", animal):
        asked = asyncio.create_task(change(committing_client, animal, method, body))
        await until_it_waits(admin, asked)
    assert await asked < 300


async def test_the_uploads_of_a_user_are_counted_one_after_the_other(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, animal: int
) -> None:
    async with holding(admin, "SELECT FROM users WHERE email = $1 FOR NO KEY UPDATE", email_of("admin")):
        asked = asyncio.create_task(change(committing_client, animal, "POST", ABOUT))
        await until_it_waits(admin, asked)
    assert await asked == 201


@pytest.mark.parametrize(("method", "body"), CHANGES)
async def test_they_do_not_wait_for_other_animals_and_users_nor_for_those_who_refer_to_them(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, animal: int, method: str, body: object
) -> None:
    await make(committing_client, "/animals")
    await begin(committing_client, animal)
    async with asyncio.timeout(60), admin.transaction():
        await admin.execute("SELECT FROM animals WHERE id <> $1 FOR NO KEY UPDATE", animal)
        await admin.execute("SELECT FROM users WHERE email <> $1 FOR NO KEY UPDATE", email_of("admin"))
        await admin.execute("SELECT FROM animals FOR KEY SHARE")
        await admin.execute("SELECT FROM users FOR KEY SHARE")
        assert await change(committing_client, animal, method, body) < 300


async def test_a_precondition_is_about_the_newest_state(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, animal: int
) -> None:
    path = f"/animals/{animal}/photos/{(await begin(committing_client, animal))['id']}"
    seen = {"If-Match": (await committing_client.get(path)).headers["ETag"]}
    async with holding(admin, "UPDATE photos SET alt = 'newer' WHERE animal_id = $1", animal):
        asked = asyncio.create_task(committing_client.patch(path, json={}, headers=seen))
        await until_it_waits(admin, asked)
    assert (await asked).status_code == 412


async def test_a_photo_that_is_removed_while_it_is_completed_stays_so(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, animal: int
) -> None:
    begun = await begin(committing_client, animal)
    assert (await put(begun)).status_code == 200
    async with holding(admin, "UPDATE photos SET state = 'removed' WHERE animal_id = $1", animal):
        asked = asyncio.create_task(committing_client.post(f"/animals/{animal}/photos/{begun['id']}/complete"))
        await until_it_waits(admin, asked)
    assert (await asked).status_code == 404
    assert await admin.fetchval("SELECT state FROM photos WHERE animal_id = $1", animal) == "removed"
