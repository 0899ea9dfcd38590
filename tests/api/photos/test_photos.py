"""Photos of animals: from the upload to the list."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos import quotas
from api.external_services.s3 import S3
from api.external_services.services import Services
from api.schemas.photos import MAX_PHOTOS, MAX_SIZE
from local.storage import Storage
from tests.api.photos.photographing import PHOTO, begin, get, keys, listed, photo, put, upload, work_off
from tests.api.records import make
from tests.bearer import bearer
from tests.conftest import Served


@pytest.fixture
def services(s3: S3) -> Services:
    return Services(s3=s3)


@pytest.fixture
async def animal(client: httpx.AsyncClient) -> int:
    made: int = (await make(client, "/animals"))["id"]
    return made


class TestUpload:
    async def test_bytes_go_to_the_storage_once_and_exactly_as_announced(
        self, client: httpx.AsyncClient, animal: int
    ) -> None:
        answer = await client.post(
            f"/animals/{animal}/photos", json={"content_type": "image/jpeg", "size": len(PHOTO), "alt": "Amara"}
        )
        begun = answer.json()
        assert answer.headers["Location"] == f"/animals/{animal}/photos/{begun['id']}"
        assert answer.headers["Cache-Control"] == "no-store"
        assert (begun["state"], begun["position"]) == ("pending", 0)
        assert (begun["small"], begun["large"]) == (None, None)
        left = datetime.fromisoformat(begun["upload"]["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=30) < left < timedelta(minutes=61)
        begun["upload"]["headers"]["Content-Length"] = str(len(PHOTO) + 1)
        assert (await put(begun, PHOTO + b".")).status_code == 403
        begun["upload"]["headers"]["Content-Length"] = str(len(PHOTO))
        begun["upload"]["headers"]["Content-Type"] = "text/html"
        assert (await put(begun)).status_code == 403
        begun["upload"]["headers"]["Content-Type"] = "image/jpeg"
        assert (await put(begun)).status_code == 200
        assert (await put(begun, bytes(len(PHOTO)))).status_code == 412

    async def test_its_key_is_of_no_use_for_the_others(
        self, client: httpx.AsyncClient, animal: int, session: AsyncSession
    ) -> None:
        begun = await begin(client, animal)
        name, key = (await session.execute(text("SELECT name, upload FROM photos"))).one()
        assert f"/incoming/{key}?" in begun["upload"]["url"]
        assert len(name) == len(key) == 32
        assert name not in str(begun)

    async def test_what_can_not_be_a_photo_is_422(self, client: httpx.AsyncClient, animal: int) -> None:
        for wrong in (
            {"content_type": "image/gif"}, {"content_type": "image/svg+xml"}, {"size": 0}, {"size": MAX_SIZE + 1},
            {"size": "5"}, {"alt": ""}, {"alt": " \u200b"}, {"alt": "a" * 201}, {"state": "ready"}, {"position": 0},
        ):  # fmt: skip
            about = {"content_type": "image/png", "size": 5, "alt": "A"} | wrong
            assert ((await client.post(f"/animals/{animal}/photos", json=about)).status_code, wrong) == (422, wrong)

    async def test_an_animal_that_is_not_there_is_404(self, client: httpx.AsyncClient, animal: int) -> None:
        await make(client, "/animals")
        photo = f"/animals/{animal}/photos/{(await begin(client, animal))['id']}"
        await client.delete(f"/animals/{animal}")
        about = {"content_type": "image/png", "size": 5, "alt": "A"}
        for answer in (
            await client.post(f"/animals/{animal}/photos", json=about), await client.get(f"/animals/{animal}/photos"),
            await client.get(photo), await client.patch(photo, json={}), await client.delete(photo),
            await client.post(f"{photo}/complete"),
        ):  # fmt: skip
            assert (answer.status_code, answer.json()["detail"]) == (404, f"No animal {animal}")

    async def test_an_animal_has_no_more_than_its_places(
        self, client: httpx.AsyncClient, animal: int, session: AsyncSession
    ) -> None:
        await session.execute(
            text(
                "INSERT INTO photos (animal_id, upload, name, content_type, size, alt, position)"
                " SELECT :animal, n, n, 'image/png', 1, 'A', n FROM generate_series(1, :n) n"
            ),
            {"animal": animal, "n": MAX_PHOTOS},
        )
        await session.commit()
        about = {"content_type": "image/png", "size": 5, "alt": "A"}
        refused = await client.post(f"/animals/{animal}/photos", json=about)
        assert (refused.status_code, "delete one first" in refused.json()["detail"]) == (409, True)
        photos = (await client.get(f"/animals/{animal}/photos")).json()
        await client.delete(f"/animals/{animal}/photos/{photos[3]['id']}")
        await begin(client, animal)
        places = [photo["position"] for photo in (await client.get(f"/animals/{animal}/photos")).json()]
        assert places == list(range(MAX_PHOTOS))

    @pytest.mark.parametrize("limit", ["MAX_UPLOADS", "MAX_BYTES"])
    async def test_a_user_has_no_more_than_their_share(
        self, client: httpx.AsyncClient, animal: int, monkeypatch: pytest.MonkeyPatch, limit: str
    ) -> None:
        if limit == "MAX_UPLOADS":
            await listed(client, animal)  # which is no upload any more
        monkeypatch.setattr(quotas, limit, {"MAX_UPLOADS": 2, "MAX_BYTES": 2 * len(PHOTO)}[limit])
        await begin(client, animal)
        first = await begin(client, animal)
        about = {"content_type": "image/jpeg", "size": len(PHOTO), "alt": "A"}
        refused = await client.post(f"/animals/{animal}/photos", json=about)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "600")
        assert {"MAX_UPLOADS": "2 uploads", "MAX_BYTES": "too much room"}[limit] in refused.json()["detail"]
        if limit == "MAX_BYTES":
            monkeypatch.setattr(quotas, limit, len(PHOTO))
        keeper = await client.post(f"/animals/{animal}/photos", json=about, headers=bearer("keeper"))
        assert keeper.status_code == 201
        monkeypatch.setattr(quotas, "MAX_BYTES", max(quotas.MAX_BYTES, 2 * len(PHOTO)))
        await client.delete(f"/animals/{animal}/photos/{first['id']}")
        await work_off(client)
        await begin(client, animal)


class TestComplete:
    async def test_then_its_renditions_are_listed_and_nothing_else_can_be_read(
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, animal: int, s3: S3, storage: Storage
    ) -> None:
        before = await keys(s3)
        path = await upload(client, animal, photo(size=(2560, 128)))
        assert (await anonymous.get(path)).status_code == 404
        assert (await anonymous.get(f"/animals/{animal}/photos")).json() == []
        await work_off(client)
        (read,) = (await anonymous.get(f"/animals/{animal}/photos")).json()
        assert (read["state"], read["width"], read["height"], read["reason"]) == ("ready", 2560, 128, None)
        for url, size in ((read["small"], (320, 16)), (read["large"], (1280, 64))):
            found = await get(url)
            assert found.headers["Content-Type"] == "image/webp"
            assert "immutable" in found.headers["Cache-Control"]
            assert Image.open(BytesIO(found.content)).size == size
        made = await keys(s3) - before
        assert sorted(key.partition("/")[0] for key in made) == ["originals", "photos", "photos"]
        (original,) = (key for key in made if key.startswith("originals/"))
        assert (await get(f"{storage.url}/{storage.environment()['S3_BUCKET']}/{original}")).status_code == 403

    async def test_before_anything_is_uploaded_it_is_409(self, client: httpx.AsyncClient, animal: int) -> None:
        begun = await begin(client, animal)
        refused = await client.post(f"/animals/{animal}/photos/{begun['id']}/complete")
        assert refused.status_code == 409
        assert "PUT it to the URL" in refused.json()["detail"]

    async def test_what_is_not_of_the_announced_size_is_409(
        self, client: httpx.AsyncClient, animal: int, s3: S3, session: AsyncSession
    ) -> None:
        begun = await begin(client, animal)
        key = await session.scalar(text("SELECT upload FROM photos"))
        await s3.put_private(f"incoming/{key}", b"other", "image/jpeg")
        refused = await client.post(f"/animals/{animal}/photos/{begun['id']}/complete")
        said = f"5 bytes were uploaded for photo {begun['id']}, and not {len(PHOTO):,}: delete it"
        assert (refused.status_code, refused.json()["detail"]) == (409, said)

    async def test_again_it_changes_nothing(self, client: httpx.AsyncClient, animal: int) -> None:
        path = await upload(client, animal)
        assert (await client.post(f"{path}/complete")).json()["state"] == "processing"
        await work_off(client)
        assert (await client.post(f"{path}/complete")).json()["state"] == "ready"

    async def test_a_url_that_is_still_good_replaces_nothing(
        self, client: httpx.AsyncClient, animal: int, s3: S3
    ) -> None:
        begun = await begin(client, animal)
        await put(begun)
        path = f"/animals/{animal}/photos/{begun['id']}"
        await client.post(f"{path}/complete")
        key = f"incoming/{begun['upload']['url'].partition('/incoming/')[2][:32]}"
        other = photo(colour="orange")[: len(PHOTO)].ljust(len(PHOTO), b"\0")
        await s3.delete(key)
        assert (await put(begun, other)).status_code == 200
        await work_off(client)
        failed = (await client.get(path)).json()
        assert failed["state"] == "failed"
        assert "no longer there" in failed["reason"]
        assert key not in await keys(s3)

    async def test_another_upload_after_it_is_ready_is_never_looked_at(
        self, client: httpx.AsyncClient, animal: int
    ) -> None:
        begun = await begin(client, animal)
        await put(begun)
        path = f"/animals/{animal}/photos/{begun['id']}"
        await client.post(f"{path}/complete")
        await work_off(client)
        ready = (await client.get(path)).json()
        shown = (await get(ready["large"])).content
        assert (await put(begun, bytes(len(PHOTO)))).status_code == 200
        assert (await client.post(f"{path}/complete")).json() == ready
        await work_off(client)
        assert (await get(ready["large"])).content == shown

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (photo("GIF"), "not a JPEG, PNG or WebP"),
            (PHOTO[:-200], "damaged"),
        ],
        ids=["GIF", "cut off"],
    )
    async def test_what_is_no_photo_fails_with_a_reason_for_keepers(  # noqa: PLR0913, PLR0917
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, animal: int, s3: S3, data: bytes, why: str
    ) -> None:
        before = await keys(s3)
        path = await upload(client, animal, data)
        await work_off(client)
        failed = (await client.get(path, headers=bearer("keeper"))).json()
        assert failed["state"] == "failed"
        assert why in failed["reason"]
        assert (await anonymous.get(path)).status_code == 404
        assert (await anonymous.get(path, headers=bearer("visitor"))).status_code == 404
        assert await keys(s3) == before
        refused = await client.post(f"{path}/complete")
        assert refused.status_code == 409
        assert failed["reason"] in refused.json()["detail"]

    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (PHOTO, "jpeg"),
            (photo("MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))]), "jpeg"),
            (photo("PNG"), "png"),
            (photo("WEBP"), "webp"),
        ],
        ids=["JPEG", "several JPEGs", "PNG", "WebP"],
    )
    async def test_its_type_is_that_of_its_content(  # noqa: PLR0913, PLR0917
        self, client: httpx.AsyncClient, animal: int, s3: S3, session: AsyncSession, data: bytes, kind: str
    ) -> None:
        claimed = "image/png" if kind == "webp" else "image/webp"
        path = await upload(client, animal, data, content_type=claimed)
        assert (await client.get(path)).json()["content_type"] == claimed
        await work_off(client)
        read = (await client.get(path)).json()
        assert (read["state"], read["content_type"]) == ("ready", f"image/{kind}")
        kept = await s3.head(f"originals/{await session.scalar(text('SELECT name FROM photos'))}")
        assert kept is not None
        assert kept.content_type == f"image/{kind}"


class TestFirst:
    async def test_an_animal_and_lists_have_their_first_photo(self, client: httpx.AsyncClient, animal: int) -> None:
        assert (await client.get(f"/animals/{animal}")).json()["photo"] is None
        other = await make(client, "/animals")
        ready = await listed(client, animal, alt='Amara "at" the \\ water')
        assert (await client.get(f"/animals/{other['id']}")).json() == other
        await client.delete(f"/animals/{other['id']}")
        first = {name: ready[name] for name in ("small", "large", "alt")}
        one, (of_list,) = (await client.get(f"/animals/{animal}")).json(), (await client.get("/animals")).json()
        assert one["photo"] == of_list["photo"] == first
        assert one == of_list
        tag = (await client.get(f"/animals/{animal}")).headers["ETag"]
        changed = await client.patch(f"/animals/{animal}", json={"species": "x"}, headers={"If-Match": tag})
        assert changed.status_code == 200
        assert changed.json()["photo"] == first

    async def test_it_follows_order_text_and_removal(self, client: httpx.AsyncClient, animal: int) -> None:
        one, other = await listed(client, animal, alt="one"), await listed(client, animal, alt="other")
        path, another = f"/animals/{animal}", (await make(client, "/animals"))["id"]

        async def first() -> Any:
            return ((await client.get(path)).json()["photo"] or {}).get("alt")

        assert await first() == "one"
        moved = await client.patch(f"{path}/photos/{other['id']}", json={"position": 0})
        assert moved.json()["position"] == 0
        assert [photo["alt"] for photo in (await client.get(f"{path}/photos")).json()] == ["other", "one"]
        assert await first() == "other"
        await client.patch(f"{path}/photos/{other['id']}", json={"alt": "yet another"})
        assert await first() == "yet another"
        await client.delete(f"{path}/photos/{other['id']}")
        assert await first() == "one"
        await client.delete(f"{path}/photos/{one['id']}")
        assert await first() is None
        assert (await client.get(f"/animals/{another}")).json()["photo"] is None

    async def test_a_photo_that_is_not_ready_is_not_the_first(self, client: httpx.AsyncClient, animal: int) -> None:
        await begin(client, animal, alt="pending")
        await listed(client, animal, alt="ready")
        assert (await client.get(f"/animals/{animal}")).json()["photo"]["alt"] == "ready"

    async def test_only_of_what_keepers_see_no_copy_may_be_stored(
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, animal: int
    ) -> None:
        path = f"/animals/{animal}/photos"
        sent = [{}, bearer("no"), {"Cookie": "zoo-auth=keeper"}]
        answers = [await client.get(path), *[await anonymous.get(path, headers=headers) for headers in sent]]
        stored = ["no-store" not in answer.headers.get("Cache-Control", "") for answer in answers]
        assert stored == [False, True, False, False]

    async def test_the_csv_has_no_photos(self, client: httpx.AsyncClient, animal: int) -> None:
        await listed(client, animal)
        assert "photo" not in (await client.get("/animals.csv")).text


class TestChange:
    async def test_with_if_match_only_what_was_read_is_changed(self, client: httpx.AsyncClient, animal: int) -> None:
        path = f"/animals/{animal}/photos/{(await begin(client, animal))['id']}"
        tag = {"If-Match": (await client.get(path)).headers["ETag"]}
        assert (await client.patch(path, json={"alt": "new"}, headers=tag)).status_code == 200
        assert (await client.patch(path, json={"alt": "newer"}, headers=tag)).status_code == 412
        assert (await client.delete(path, headers=tag)).status_code == 412

    async def test_nothing_is_null(self, client: httpx.AsyncClient, animal: int) -> None:
        path = f"/animals/{animal}/photos/{(await begin(client, animal))['id']}"
        for wrong in ({"alt": None}, {"position": None}, {"position": -1}, {"position": 20}, {"animal_id": 1}):
            assert (await client.patch(path, json=wrong)).status_code == 422

    async def test_a_photo_belongs_to_its_animal(self, client: httpx.AsyncClient, animal: int) -> None:
        begun, other = await begin(client, animal), (await make(client, "/animals"))["id"]
        path = f"/animals/{other}/photos/{begun['id']}"
        for answer in (
            await client.get(path), await client.patch(path, json={}), await client.delete(path),
            await client.post(f"{path}/complete"),
        ):  # fmt: skip
            assert (answer.status_code, answer.json()["detail"]) == (404, f"No photo {begun['id']} of animal {other}")

    async def test_a_removed_photo_can_no_longer_be_read(
        self, client: httpx.AsyncClient, animal: int, session: AsyncSession
    ) -> None:
        ready = await listed(client, animal)
        path = f"/animals/{animal}/photos/{ready['id']}"
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404
        await work_off(client)
        for url in (ready["small"], ready["large"]):
            assert (await get(url)).status_code in {403, 404}
        assert await session.scalar(text("SELECT count(*) FROM photos")) == 0

    async def test_a_photo_that_is_removed_while_it_is_worked_on_leaves_nothing(
        self, client: httpx.AsyncClient, animal: int, s3: S3, session: AsyncSession
    ) -> None:
        before = await keys(s3)
        path = await upload(client, animal)
        await client.delete(path)
        await work_off(client)
        assert await keys(s3) == before
        assert await session.scalar(text("SELECT count(*) FROM photos")) == 0


async def test_without_a_storage_all_else_works_and_it_says_so(worker_app: FastAPI, client: httpx.AsyncClient) -> None:
    state = client._transport.app.state  # type: ignore[attr-defined]  # noqa: SLF001 - httpx's
    without = Served(worker_app, replace(state, services=replace(state.services, s3=None))).client("admin")
    animal = (await make(without, "/animals"))["id"]
    about = {"content_type": "image/png", "size": 5, "alt": "A"}
    refused = await without.post(f"/animals/{animal}/photos", json=about)
    assert refused.status_code == 503
    assert "S3_URL" in refused.json()["detail"]
    assert (await without.get(f"/animals/{animal}/photos")).json() == []
    assert (await without.get(f"/animals/{animal}")).json()["photo"] is None
