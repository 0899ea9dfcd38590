"""Nothing of photos is lost, and nothing is left: the sweep, photos from a folder, and rows that nobody completes."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import cleaning
from api.crud.photos import imports
from api.crud.photos.old_rows import FAILED_KEPT_FOR, UPLOADS_KEPT_FOR
from api.crud.photos.sweep import REPORTED, Sweep, sweep
from api.external_services.s3 import S3
from api.external_services.services import Services
from local.postgres import Server
from local.storage import Storage
from tests.api.photos.photographing import PHOTO, begin, get, keys, listed, photo, put, upload, work_off
from tests.api.records import make
from tests.conftest import default_settings, state_of
from tests.python import run

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
async def animal(client: httpx.AsyncClient) -> int:
    made: int = (await make(client, "/animals", name="Amara"))["id"]
    return made


async def swept(client: httpx.AsyncClient, kept_for: timedelta = DAYS, *, apply: bool = True) -> Sweep:
    state = state_of(client)
    assert state.services.s3 is not None
    return await sweep(state.sessionmaker.begin, state.services.s3, kept_for, apply=apply)


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

        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> "Later":
                return cls.fromtimestamp((datetime.now(tz) + 2 * DAYS).timestamp(), tz)

        monkeypatch.setattr("api.crud.photos.sweep.datetime", Later)
        found = await swept(client)
        assert len(found.unknown) == 3
        assert found.deletable == []
        assert await keys(s3) == before
        assert (await get(ready["small"])).status_code == 200

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
    async def load(self, client: httpx.AsyncClient, folder: Path) -> list[str]:
        state = state_of(client)
        assert state.services.s3 is not None
        async with state.sessionmaker.begin() as session:
            files, refused = await imports.find(session, list(folder.iterdir()))
        return refused + await imports.import_photos(state.sessionmaker.begin, state.services.s3, files)

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
        for _ in range(2):
            await make(client, "/animals", name="Twin")
        for name, data in {
            "Amara.jpg": PHOTO, "Amara-2.png": b"no photo", "Nobody.jpg": PHOTO, "Twin.jpg": PHOTO, "0.jpg": PHOTO,
        }.items():  # fmt: skip
            (tmp_path / name).write_bytes(data)
        refused = await self.load(client, tmp_path)
        assert sorted(why.partition(":")[0] for why in refused) == ["0.jpg", "Amara-2.png", "Nobody.jpg", "Twin.jpg"]
        assert len([p for p in (await client.get(f"/animals/{animal}/photos")).json() if p["state"] == "ready"]) == 1


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
