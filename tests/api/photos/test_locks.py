"""What requests lock for photos: the other side is held at the moment that matters."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos import imports
from api.crud.photos.imports import Named
from api.crud.photos.sweep import sweep
from api.decoder import run as decoder
from api.decoder.run import only_decoder
from api.external_services.s3 import S3
from api.main import create_app
from local.postgres import Server
from local.storage import Storage
from tests.api.holding import database, holding, until_it_waits
from tests.api.photos.photographing import ABOUT, PHOTO, begin, photo, put, settings_through, upload, work_off
from tests.api.records import make
from tests.api.storage_proxy import StorageProxy, proxying
from tests.conftest import answering, state_of
from tests.users import email_of

__all__ = ["database"]  # a fixture


@pytest.fixture(scope="module")
async def proxy(storage: Storage) -> AsyncIterator[StorageProxy]:
    async with proxying(storage.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
async def committing_client(
    server: Server, database: str, storage: Storage, proxy: StorageProxy
) -> AsyncIterator[httpx.AsyncClient]:
    patience = dict.fromkeys(("database_pool_timeout", "database_connect_timeout"), 60)
    settings = settings_through(proxy, storage, database_url=server.url("zoo_api", database), **patience)
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


@pytest.mark.parametrize(
    ("state", "change", "status"),
    [("removed", "", 404), ("failed", ", reason = 'why'", 409), ("ready", ", etag = '2', width = 1, height = 1", 202)],
)
async def test_what_becomes_of_a_photo_while_the_storage_is_asked_for_it_stays_so(  # noqa: PLR0913, PLR0917
    committing_client: httpx.AsyncClient,
    admin: asyncpg.Connection,
    animal: int,
    proxy: StorageProxy,
    state: str,
    change: str,
    status: int,
) -> None:
    begun = await begin(committing_client, animal)
    assert (await put(begun)).status_code == 200

    async def watch(_: str, __: str) -> None:
        proxy.watch = None
        await admin.execute(f"UPDATE photos SET state = '{state}'{change} WHERE animal_id = $1", animal)

    proxy.watch = watch
    answer = await committing_client.post(f"/animals/{animal}/photos/{begun['id']}/complete")
    assert answer.status_code == status
    assert await admin.fetchval("SELECT state FROM photos WHERE animal_id = $1", animal) == state


READY = (
    "INSERT INTO photos (animal_id, upload, name, content_type, size, alt, position, state, etag, width, height)"
    " VALUES ($1, $2, $2, 'image/png', 1, 'A', -1, 'ready', '1', 1, 1) RETURNING id"
)


async def test_a_photo_gets_ready_one_after_the_other_with_changes_of_its_animal(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, animal: int
) -> None:
    """Also if it is not the first, so that nothing of the animal changes."""
    path = await upload(committing_client, animal)
    await admin.execute(READY, animal, "first")
    await admin.execute("UPDATE animals SET photo = 'first', photo_alt = 'A' WHERE id = $1", animal)
    async with holding(admin, "SELECT FROM animals WHERE id = $1 FOR NO KEY UPDATE", animal):
        worked = asyncio.create_task(work_off(committing_client))
        await until_it_waits(admin, worked)
    await worked
    assert (await committing_client.get(path)).json()["state"] == "ready"


async def test_a_photo_that_is_removed_while_it_is_about_to_be_made_again_stays_so(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, s3: S3, animal: int
) -> None:
    name = f"of {animal}"
    photo = await admin.fetchval(READY, animal, name)
    await s3.put_private(f"originals/{name}", b"1", "image/png")
    async with holding(admin, "SELECT FROM animals WHERE id = $1 FOR NO KEY UPDATE", animal):
        swept = asyncio.create_task(
            sweep(state_of(committing_client).sessionmaker.begin, s3, timedelta(days=1), apply=True)
        )
        await until_it_waits(admin, swept)
        await admin.execute("UPDATE photos SET state = 'removed' WHERE id = $1", photo)
    assert (await swept).repairable == [photo]
    assert await admin.fetchval("SELECT state FROM photos WHERE id = $1", photo) == "removed"


async def test_an_import_takes_places_one_after_the_other(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, s3: S3, animal: int, tmp_path: Path
) -> None:
    (tmp_path / "one.jpg").write_bytes(PHOTO)
    files = [Named(tmp_path / "one.jpg", animal, "one")]
    async with holding(admin, "SELECT FROM animals WHERE id = $1 FOR NO KEY UPDATE", animal):
        imported = asyncio.create_task(imports.import_photos(state_of(committing_client).sessionmaker.begin, s3, files))
        await until_it_waits(admin, imported)
        assert await admin.fetchval("SELECT count(*) FROM photos WHERE animal_id = $1", animal) == 0
    assert await imported == []


async def test_an_import_looks_now_and_then_until_others_have_done_all_its_photos(  # noqa: PLR0913, PLR0917
    committing_client: httpx.AsyncClient,
    admin: asyncpg.Connection,
    s3: S3,
    animal: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin, looks = state_of(committing_client).sessionmaker.begin, 0

    def counted() -> AbstractAsyncContextManager[AsyncSession]:
        nonlocal looks
        looks += 1
        return begin()

    async def until_looks(least: int, imported: asyncio.Task[list[str]]) -> None:
        while looks < least and not imported.done():
            await asyncio.sleep(0.01)
        assert not imported.done()

    files = [Named(tmp_path / f"{name}.jpg", animal, name) for name in ("one", "other")]
    for file in files:
        file.path.write_bytes(photo(colour="orange" if file.alt == "one" else "black"))
    monkeypatch.setattr(decoder, "LOCK", f"zoo-decoder-{os.getpid()}.lock")  # that of this machine is for other tests
    with only_decoder():
        monkeypatch.setattr(imports, "WAIT_SECONDS", 3600)
        imported = asyncio.create_task(imports.import_photos(counted, s3, files[:1]))
        await until_looks(4, imported)  # the row, what is approved, its approval, and what has become of it
        for _ in range(20):
            await admin.fetchval("SELECT 1")
        assert looks == 4
        imported.cancel()
        await asyncio.wait([imported])

        monkeypatch.setattr(imports, "WAIT_SECONDS", 0.01)
        imported = asyncio.create_task(imports.import_photos(counted, s3, files))
        fail = (
            "UPDATE photos SET state = 'failed', reason = alt"
            " WHERE id = (SELECT min(id) FROM photos WHERE animal_id = $1 AND state = 'processing')"
        )
        for _ in files:
            await until_looks(looks + 10, imported)
            await admin.execute(fail, animal)
    assert await imported == ["one.jpg: one", "other.jpg: other"]
