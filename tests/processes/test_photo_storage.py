"""Nothing of photos is lost, and nothing is left: the sweep, photos from a folder, and rows that nobody completes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tenacity import wait_none

from api.crud import cleaning
from api.crud.photos import imports
from api.crud.photos.old_rows import FAILED_KEPT_FOR, UPLOADS_KEPT_FOR
from api.crud.photos.sweep import REPORTED, Sweep, sweep
from api.errors import Unavailable
from api.external_services import http
from api.external_services.s3 import S3
from api.external_services.services import Services
from api.schemas.photos import MAX_SIZE
from local.postgres import Server
from local.storage import Storage
from tests.api.photos.photographing import PHOTO, begin, get, keys, listed, photo, put, upload, work_off
from tests.api.records import make
from tests.api.storage_proxy import StorageProxy, proxying
from tests.conftest import default_settings, settings_of, state_of
from tests.python import HANGS, run

DAYS = timedelta(days=30)


@pytest.fixture
def services(s3: S3) -> Services:
    return Services(s3=s3)


@pytest.fixture(autouse=True)
async def empty_storage(s3: S3) -> None:
    """Each test has all of the storage: what a sweep finds depends on all that is there."""
    for prefix in ("incoming/", "originals/", "sweep/"):
        async for stored in s3.objects(prefix):
            await s3.delete(stored.key)
    async for stored in s3.public_objects("photos/"):
        await s3.delete_public(stored.key)


@pytest.fixture
async def proxy(storage: Storage) -> AsyncIterator[StorageProxy]:
    async with proxying(storage.url) as proxy:
        yield proxy


@pytest.fixture
async def proxied(storage: Storage, proxy: StorageProxy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3]:
    """The storage by way of the proxy."""
    monkeypatch.setattr(http, "BACKOFF", wait_none())
    s3 = S3(settings_of(storage.environment() | {"S3_URL": proxy.url}))
    yield s3
    await s3.close()


@pytest.fixture
async def animal(client: httpx.AsyncClient) -> int:
    made: int = (await make(client, "/animals", name="Amara"))["id"]
    return made


async def swept(client: httpx.AsyncClient, kept_for: timedelta = DAYS, *, apply: bool = True) -> Sweep:
    state = state_of(client)
    assert state.services.s3 is not None
    return await sweep(state.sessionmaker.begin, state.services.s3, kept_for, apply=apply)


class Later(datetime):
    """When the backups of today are no longer kept."""

    @classmethod
    def now(cls, tz: Any = None) -> "Later":
        return cls.fromtimestamp((datetime.now(tz) + 2 * DAYS).timestamp(), tz)


class TestSweep:
    async def test_what_belongs_to_photos_stays(self, client: httpx.AsyncClient, animal: int, s3: S3) -> None:
        await listed(client, animal)
        await upload(client, animal)
        await put(await begin(client, animal))
        before = await keys(s3)
        for _ in range(2):
            assert await swept(client, timedelta(0)) == Sweep()
        assert await keys(s3) == before | {REPORTED}

    async def test_what_belongs_to_none_is_reported_and_deleted_after_backups(
        self, client: httpx.AsyncClient, animal: int, s3: S3
    ) -> None:
        ready = await listed(client, animal)
        await client.delete(f"/animals/{animal}/photos/{ready['id']}")
        await work_off(client)
        await s3.put_public("photos/lost-320.webp", b"1", "image/webp")
        await s3.put_private("incoming/lost", b"1", "image/png")
        await s3.put_private("elsewhere/mine", b"1", "image/png")  # none of its own
        first = await swept(client, timedelta(0), apply=False)
        assert sorted(first.deletable) == sorted(first.unknown)
        assert sorted(key.partition("/")[0] for key in first.unknown) == ["incoming", "originals", "photos"]
        assert set(first.unknown) <= await keys(s3)
        assert (await swept(client)).deletable == []
        assert sorted((await swept(client, timedelta(0))).deletable) == sorted(first.unknown)
        left = await keys(s3)
        assert {REPORTED, "elsewhere/mine"} <= left
        assert not left & set(first.unknown)

    async def test_after_a_restore_nothing_is_deleted_whatever_its_age(
        self, client: httpx.AsyncClient, animal: int, s3: S3, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The backup does not know the photo, which is older than backups are kept."""
        ready = await listed(client, animal)
        await swept(client)
        await session.execute(text("DELETE FROM photos"))
        await session.commit()
        before = await keys(s3)
        monkeypatch.setattr("api.crud.photos.sweep.datetime", Later)
        monkeypatch.setattr("api.crud.photos.sweep.datetime", Later)
        found = await swept(client)
        assert len(found.unknown) == 3
        assert found.deletable == []
        assert await keys(s3) == before
        assert (await get(ready["small"])).status_code == 200

    async def test_what_was_reported_before_the_oldest_backup_is_deleted(
        self, client: httpx.AsyncClient, s3: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = await keys(s3)
        await s3.put_private("incoming/lost", b"1", "image/png")
        first = await swept(client)
        assert (list(first.unknown), first.deletable) == (["incoming/lost"], [])
        monkeypatch.setattr("api.crud.photos.sweep.datetime", Later)
        assert await swept(client) == Sweep(deletable=["incoming/lost"])
        assert await keys(s3) == before | {REPORTED}

    async def test_what_a_photo_has_no_longer_or_never_is_of_none(
        self, client: httpx.AsyncClient, animal: int, s3: S3, session: AsyncSession
    ) -> None:
        await listed(client, animal)
        await upload(client, animal, b"no photo")
        await work_off(client)
        await begin(client, animal)
        added = set()
        for state, incoming, name in await session.execute(text("SELECT state, upload, name FROM photos")):
            added |= {f"incoming/{incoming}"} - ({f"incoming/{incoming}"} if state == "pending" else set())
            added |= set() if state == "ready" else {f"originals/{name}", f"photos/{name}-320.webp"}
        for key in added:
            await (s3.put_public if key.startswith("photos/") else s3.put_private)(key, b"1", "image/webp")
        assert len(added) == 6
        assert (await swept(client)).unknown.keys() == added

    async def test_photos_are_read_page_by_page(
        self, client: httpx.AsyncClient, animal: int, s3: S3, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.crud.photos.sweep.PAGE", 2)
        for _ in range(5):
            await begin(client, animal)
        for key in await session.scalars(text("SELECT upload FROM photos")):
            await s3.put_private(f"incoming/{key}", b"1", "image/png")
        await session.execute(text("UPDATE photos SET alt = 'now the last in the table' WHERE position = 0"))
        await session.commit()
        transactions = state_of(client).sessionmaker.begin
        pages: list[object] = []

        def counted() -> AbstractAsyncContextManager[AsyncSession]:
            pages.append(None)
            return transactions()

        assert await sweep(counted, s3, DAYS, apply=True) == Sweep()
        assert len(pages) == 2 * (3 + 1)

    async def test_one_that_gets_ready_meanwhile_lacks_nothing(
        self, client: httpx.AsyncClient, animal: int, proxied: S3, proxy: StorageProxy
    ) -> None:
        await upload(client, animal)

        async def watch(when: str, request: str) -> None:
            if when == "after" and "prefix=photos" in request:  # the last of the lists
                await work_off(client)

        proxy.watch = watch
        found = await sweep(state_of(client).sessionmaker.begin, proxied, DAYS, apply=True)
        assert (found.repairable, found.lost) == ([], [])

    @pytest.mark.parametrize("moment", ["GET /zoo-public?", "DELETE "])
    async def test_one_that_is_removed_meanwhile_stays_so(  # noqa: PLR0913, PLR0917
        self,
        client: httpx.AsyncClient,
        animal: int,
        s3: S3,
        session: AsyncSession,
        proxied: S3,
        proxy: StorageProxy,
        moment: str,
    ) -> None:
        """While objects are listed, and while others are deleted."""
        ready = await listed(client, animal)
        await s3.delete_public(ready["small"].partition("/zoo-public/")[2])
        await s3.put_private("incoming/lost", b"1", "image/png")

        async def watch(_: str, request: str) -> None:
            if request.startswith(moment):
                proxy.watch = None
                await client.delete(f"/animals/{animal}/photos/{ready['id']}")

        proxy.watch = watch
        found = await sweep(state_of(client).sessionmaker.begin, proxied, timedelta(0), apply=True)
        assert found.repairable == ([ready["id"]] if moment == "DELETE " else [])
        assert await session.scalar(text("SELECT state FROM photos")) == "removed"

    async def test_renditions_that_are_missing_are_made_again(
        self, client: httpx.AsyncClient, animal: int, s3: S3
    ) -> None:
        """As after a restore of a backup that is older than the removal of a photo."""
        ready = await listed(client, animal)
        shown = (await get(ready["large"])).content
        for url in (ready["small"], ready["large"]):
            await s3.delete_public(url.partition("/zoo-public/")[2])
        assert (await swept(client, apply=False)).repairable == [ready["id"]]
        assert (await client.get(f"/animals/{animal}")).json()["photo"] is not None
        assert (await swept(client)).repairable == [ready["id"]]
        assert (await client.get(f"/animals/{animal}")).json()["photo"] is None
        await work_off(client)
        assert (await get((await client.get(f"/animals/{animal}")).json()["photo"]["large"])).content == shown
        assert await swept(client) == Sweep()

    async def test_a_photo_without_its_original_is_said(self, client: httpx.AsyncClient, animal: int, s3: S3) -> None:
        ready = await listed(client, animal)
        (original,) = [stored.key async for stored in s3.objects("originals/")]
        await s3.delete(original)
        assert (await swept(client)).lost == [ready["id"]]
        assert (await client.get(f"/animals/{animal}")).json()["photo"] is not None

    @pytest.mark.parametrize("written", [b"", b"[]", b"{", b'{"originals/x": 1}', b'{"originals/x": "yesterday"}'])
    async def test_a_report_that_can_not_be_read_is_none(
        self, client: httpx.AsyncClient, s3: S3, written: bytes
    ) -> None:
        await s3.put_private("originals/x", b"1", "image/png")
        await s3.put_private(REPORTED, written, "application/json")
        assert (await swept(client)).deletable == []


class TestImport:
    async def load(self, client: httpx.AsyncClient, folder: Path, s3: S3 | None = None) -> list[str]:
        state = state_of(client)
        s3 = s3 or state.services.s3
        assert s3 is not None
        async with state.sessionmaker.begin() as session:
            files, refused = await imports.find(session, list(folder.iterdir()))
        return refused + await imports.import_photos(state.sessionmaker.begin, s3, files)

    async def test_files_are_named_after_animals(self, client: httpx.AsyncClient, animal: int, tmp_path: Path) -> None:
        zoe = (await make(client, "/animals", name="Zo\u00eb"))["id"]
        for name in ("Amara.jpg", "amara-2.JPG", f"{zoe}.jpeg", "Zoe\u0308 3.jpg", "notes.txt"):
            (tmp_path / name).write_bytes(photo(size=(48 + len(name), 32)))
        assert await self.load(client, tmp_path) == []
        for of, count in ((animal, 2), (zoe, 2)):
            photos = (await client.get(f"/animals/{of}/photos")).json()
            assert [found["state"] for found in photos] == ["ready"] * count
        assert {found["alt"] for found in photos} == {"Zo\u00eb"}

    async def test_repeated_it_loads_what_is_missing(
        self, client: httpx.AsyncClient, animal: int, tmp_path: Path
    ) -> None:
        (tmp_path / "Amara.jpg").write_bytes(PHOTO)
        await self.load(client, tmp_path)
        (tmp_path / "Amara 2.jpg").write_bytes(photo(colour="orange"))
        await self.load(client, tmp_path)
        assert len((await client.get(f"/animals/{animal}/photos")).json()) == 2

    async def test_what_can_not_be_loaded_is_named_and_the_others_are_loaded(
        self, client: httpx.AsyncClient, animal: int, tmp_path: Path
    ) -> None:
        one, _ = [(await make(client, "/animals", name="Twin"))["id"] for _ in range(2)]
        unreadable = os.fsdecode(b"\xff.jpg")
        for name, data in {
            "Amara.jpg": PHOTO, "Amara-2.png": b"no photo", "Nobody.jpg": PHOTO, "Twin.jpg": PHOTO, "0.jpg": PHOTO,
            unreadable: PHOTO,
        }.items():  # fmt: skip
            (tmp_path / name).write_bytes(data)
        with (tmp_path / "Amara-3.jpg").open("wb") as large:
            large.truncate(MAX_SIZE + 1)
        assert sorted(await self.load(client, tmp_path)) == [
            "0.jpg: no animal is named so",
            "Amara-2.png: it is not a JPEG, PNG or WebP",
            "Amara-3.jpg: it has over 26,214,400 bytes",
            "Nobody.jpg: no animal is named so",
            f"Twin.jpg: 2 animals are named so: name it after an id, {one}.jpg",
            f"{unreadable}: no animal is named so",
        ]
        assert len([p for p in (await client.get(f"/animals/{animal}/photos")).json() if p["state"] == "ready"]) == 1

    async def test_a_name_may_end_in_a_number_and_a_file_have_the_size_that_is_allowed(
        self, client: httpx.AsyncClient, animal: int, session: AsyncSession, tmp_path: Path
    ) -> None:
        second = (await make(client, "/animals", name="Amara 2"))["id"]
        files = [tmp_path / name for name in ("Amara 2.jpg", "Amara 3.jpg")]
        for path in files:
            with path.open("wb") as large:
                large.truncate(MAX_SIZE)
        found, refused = await imports.find(session, files)
        assert ([(named.path, named.animal_id) for named in found], refused) == (
            [(files[0], second), (files[1], animal)],
            [],
        )

    async def test_what_an_animal_has_no_place_for_is_named_and_the_others_are_loaded(
        self, client: httpx.AsyncClient, animal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = (await make(client, "/animals", name="Zoe"))["id"]
        monkeypatch.setattr("api.crud.photos.quotas.MAX_PHOTOS", 1)
        await begin(client, animal)
        for name in ("Amara", "Zoe"):
            (tmp_path / f"{name}.jpg").write_bytes(PHOTO)
        full = f"Amara.jpg: Animal {animal} has 1 photos, and no animal has more: delete one first"
        assert await self.load(client, tmp_path) == [full]
        assert (await client.get(f"/animals/{other}")).json()["photo"] is not None

    async def test_without_the_storage_it_ends_and_what_it_had_uploaded_is_reported_by_the_next(  # noqa: PLR0913, PLR0917
        self,
        client: httpx.AsyncClient,
        animal: int,
        session: AsyncSession,
        tmp_path: Path,
        proxied: S3,
        proxy: StorageProxy,
    ) -> None:
        (tmp_path / "Amara.jpg").write_bytes(b"no photo")
        for answered in ([], ["pass", "pass"]):  # the second time, it is uploaded, and not read
            proxy.script.extend(answered)
            proxy.always = "drop"
            with pytest.raises(Unavailable):
                await self.load(client, tmp_path, proxied)
            await session.execute(text("UPDATE photos SET claimed_until = NULL"))
            await session.commit()
        assert await self.load(client, tmp_path) == ["Amara.jpg: it is not a JPEG, PNG or WebP"]
        photos = (await client.get(f"/animals/{animal}/photos")).json()
        assert [found["state"] for found in photos] == ["pending", "failed"]

    async def test_it_does_not_wait_for_photos_of_others(
        self, client: httpx.AsyncClient, animal: int, session: AsyncSession, tmp_path: Path
    ) -> None:
        await upload(client, animal, photo(colour="orange"))
        await session.execute(text("UPDATE photos SET claimed_until = statement_timestamp() + interval '1 h'"))
        await session.commit()
        (tmp_path / "Amara.jpg").write_bytes(PHOTO)
        async with asyncio.timeout(HANGS):
            assert await self.load(client, tmp_path) == []


class TestRows:
    @pytest.mark.parametrize(("state", "kept_for"), [("pending", UPLOADS_KEPT_FOR), ("failed", FAILED_KEPT_FOR)])
    async def test_what_nobody_completes_or_has_failed_goes_in_the_end(
        self, client: httpx.AsyncClient, animal: int, session: AsyncSession, state: str, kept_for: timedelta
    ) -> None:
        ids = [(await begin(client, animal))["id"] for _ in range(3)]
        statement = text(
            "UPDATE photos SET state = CAST(:state AS photo_state), reason = :why, created_at = :at WHERE id = :id"
        )
        old, now, why = kept_for + timedelta(seconds=1), datetime.now(UTC), "why" if state == "failed" else None
        await session.execute(statement, {"id": ids[0], "at": now - old, "state": state, "why": why})
        await session.execute(
            statement, {"id": ids[1], "at": now - kept_for + timedelta(minutes=1), "state": state, "why": why}
        )
        await session.commit()
        await cleaning.clean(state_of(client).database, default_settings())
        assert [found["id"] for found in (await client.get(f"/animals/{animal}/photos")).json()] == ids[1:]


class TestCommands:
    async def test_the_seed_has_photos_which_a_sweep_leaves_alone(
        self, server: Server, database: str, storage: Storage, admin: asyncpg.Connection
    ) -> None:
        environment = os.environ | server.environment(database) | storage.environment()
        seeded = await asyncio.to_thread(run, "api", "seed", env=environment, timeout=300)
        assert seeded.returncode == 0, seeded.stderr
        assert seeded.stdout.endswith("\n3 photos loaded\n")
        assert await admin.fetchval("SELECT count(photo) FROM animals") == 3
        swept = await asyncio.to_thread(run, "api", "sweep-photos", "--apply", env=environment, timeout=300)
        assert (swept.returncode, swept.stdout) == (0, "")

    async def test_a_sweep_says_what_it_finds(self, server: Server, database: str, storage: Storage, s3: S3) -> None:
        environment = os.environ | server.environment(database) | storage.environment()
        await s3.put_public("photos/unknown-320.webp", b"1", "image/webp")
        swept = await asyncio.to_thread(run, "api", "sweep-photos", env=environment, timeout=300)
        assert swept.stdout == f"of no photo since {datetime.now(UTC):%Y-%m-%d}: photos/unknown-320.webp\n"
        assert "photos/unknown-320.webp" in await keys(s3)

    @pytest.mark.parametrize("command", [["sweep-photos"], ["import-photos", "."]], ids=str)
    async def test_without_a_storage_they_say_so(self, server: Server, database: str, command: list[str]) -> None:
        done = await asyncio.to_thread(run, "api", *command, env=os.environ | server.environment(database))
        assert done.returncode == 3
        assert "S3_URL is not set" in done.stderr
