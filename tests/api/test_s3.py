"""The api's client of S3 on SeaweedFS, with the api's own key."""

import gzip
from datetime import datetime, timedelta, tzinfo
from typing import Self
from uuid import uuid4

import pytest

from api.external_services import s3_requests
from api.external_services.errors import StorageRefused
from api.external_services.s3 import S3, PresignedPut, Stored
from local.storage import Storage
from tests.conftest import browser, settings_of

BODY = b"as if it were a picture"
JPEG = "image/jpeg"
ODD = "ä b+c&d=e%20~*'(),;:@$!.jpg"
"""What has to be encoded, and some that need not be."""


class TwoSecondsAgo(datetime):
    """A clock that is as late."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) - timedelta(seconds=2)


@pytest.fixture
def key() -> str:
    return f"incoming/{uuid4()}/{ODD}"


@pytest.fixture
async def upload(s3: S3, key: str) -> PresignedPut:
    return await s3.presigned_put(key, size=len(BODY), content_type=JPEG, expires=60)


async def put(upload: PresignedPut, body: bytes = BODY, headers: dict[str, str | None] | None = None) -> int:
    """The status of an upload, with these headers in place of the ones that it needs; None is none."""
    sent = {**upload.headers, "Content-Length": str(len(body)), **(headers or {})}
    async with browser() as client:
        response = await client.put(upload.url, content=body, headers={n: v for n, v in sent.items() if v is not None})
    return response.status_code


async def stored(s3: S3, key: str, body: bytes = BODY, content_type: str = JPEG) -> str:
    """The ETag of a new object."""
    await s3.put_private(key, body, content_type)
    head = await s3.head(key)
    assert head is not None
    return head.etag


class TestUpload:
    async def test_writes_what_was_agreed(self, s3: S3, key: str, upload: PresignedPut) -> None:
        assert await put(upload) == 200

        head = await s3.head(key)
        assert head is not None
        assert (head.size, head.content_type) == (len(BODY), JPEG)
        assert await s3.get(key, head.etag, size=head.size) == BODY

    async def test_writes_nothing_else(self, s3: S3, key: str, upload: PresignedPut) -> None:
        others: tuple[tuple[bytes, dict[str, str | None]], ...] = (
            (BODY[:-1], {}),
            (BODY + b"!", {}),
            (b"", {}),
            (BODY, {"Content-Type": "text/html"}),
            (BODY, {"Content-Type": None}),
            (BODY, {"If-None-Match": None}),
            (BODY, {"If-None-Match": '"an etag"'}),
            (BODY, {"x-amz-acl": "public-read"}),
            (BODY, {"x-amz-meta-note": "hello"}),
        )
        for body, headers in others:
            assert await put(upload, body, headers) == 403, (body, headers)

            assert await s3.head(key) is None, (body, headers)

    async def test_writes_once(self, s3: S3, key: str, upload: PresignedPut) -> None:
        await put(upload)

        assert await put(upload, BODY[::-1]) == 412

        head = await s3.head(key)
        assert head is not None
        assert await s3.get(key, head.etag, size=head.size) == BODY

    async def test_writes_to_its_own_key_only(self, upload: PresignedPut) -> None:
        other = PresignedPut(upload.url.replace("/incoming/", "/shown/"), upload.headers)

        assert await put(other) == 403

    async def test_ends(self, s3: S3, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3_requests, "datetime", TwoSecondsAgo)
        upload = await s3.presigned_put(key, size=len(BODY), content_type=JPEG, expires=1)

        assert await put(upload) == 403

    async def test_leads_to_the_host_that_clients_see(self, storage: Storage, key: str) -> None:
        seen = storage.url.replace("127.0.0.1", "localhost")
        s3 = S3(settings_of(storage.environment(), s3_url="http://nowhere.invalid", s3_upload_url=seen))
        upload = await s3.presigned_put(key, size=len(BODY), content_type=JPEG, expires=60)
        await s3.close()

        assert upload.url.startswith(f"{seen}/")
        assert await put(upload) == 200


class TestReading:
    async def test_no_object_is_none(self, s3: S3, key: str) -> None:
        assert await s3.head(key) is None
        assert await s3.get(key, '"an etag"', size=10) is None

    async def test_another_object_of_that_key_is_none(self, s3: S3, key: str) -> None:
        etag = await stored(s3, key)
        await stored(s3, key, BODY[::-1])

        assert await s3.get(key, etag, size=len(BODY)) is None

    async def test_bytes_are_those_that_are_stored(self, s3: S3, key: str, upload: PresignedPut) -> None:
        """A client's Content-Encoding is not respected: a little of it would become a lot."""
        bomb = gzip.compress(b"0" * 100_000)
        upload = await s3.presigned_put(key, size=len(bomb), content_type=JPEG, expires=60)
        await put(upload, bomb, {"Content-Encoding": "gzip"})
        head = await s3.head(key)
        assert head is not None

        assert await s3.get(key, head.etag, size=head.size) == bomb

    @pytest.mark.parametrize("size", [0, len(BODY) - 1, len(BODY) + 1])
    async def test_another_size_is_refused(self, s3: S3, key: str, size: int) -> None:
        etag = await stored(s3, key)

        with pytest.raises(StorageRefused):
            await s3.get(key, etag, size=size)

    async def test_a_large_object_is_complete(self, s3: S3, key: str) -> None:
        large = bytes(range(256)) * 20_000
        assert len(large) > s3_requests.MAX_ANSWER
        etag = await stored(s3, key, large)

        assert await s3.get(key, etag, size=len(large)) == large

    async def test_an_empty_object_is_complete(self, s3: S3, key: str) -> None:
        etag = await stored(s3, key, b"")

        assert await s3.get(key, etag, size=0) == b""


class TestLists:
    async def test_have_all_objects_of_a_prefix(self, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.external_services.s3.PAGE", 3)
        prefix = f"{uuid4()}/"
        keys = sorted(f"{prefix}{number}/{ODD}" for number in range(7))
        for key in keys:
            await s3.put_private(key, BODY, JPEG)
        await s3.put_private(f"{uuid4()}/", BODY, JPEG)

        listed = [found async for found in s3.objects(prefix)]

        assert [(found.key, found.size) for found in listed] == [(key, len(BODY)) for key in keys]
        assert all(found.modified.tzinfo for found in listed)

    async def test_are_those_of_one_bucket(self, s3: S3) -> None:
        prefix = f"{uuid4()}/"
        await s3.put_private(f"{prefix}private", BODY, JPEG)
        await s3.put_public(f"{prefix}public", BODY, JPEG)

        assert [found.key async for found in s3.objects(prefix)] == [f"{prefix}private"]
        assert [found.key async for found in s3.public_objects(prefix)] == [f"{prefix}public"]

    async def test_may_be_empty(self, s3: S3, key: str) -> None:
        nothing: list[Stored] = [found async for found in s3.objects(key)]

        assert nothing == []


class TestPublic:
    async def test_anybody_can_read_it_and_keep_it(self, s3: S3, key: str) -> None:
        await s3.put_public(key, BODY, "image/webp")

        async with browser() as anybody:
            response = await anybody.get(s3.public_url(key), headers={"Origin": "https://elsewhere.example"})

        assert response.content == BODY
        assert response.headers["content-type"] == "image/webp"
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["access-control-allow-origin"] in {"*", "https://elsewhere.example"}

    async def test_nobody_can_read_what_is_private(self, storage: Storage, s3: S3, key: str) -> None:
        await s3.put_private(key, BODY, JPEG)
        public, private = (f"/{storage.environment()[name]}" for name in ("S3_PUBLIC_BUCKET", "S3_BUCKET"))

        async with browser(base_url=storage.url) as anybody:
            answers = [
                await anybody.get(s3.public_url(key).replace(public, private)),
                await anybody.get(private),
                await anybody.get(public),
                await anybody.put(s3.public_url(key), content=b""),
                await anybody.delete(s3.public_url(key)),
            ]

        assert {answer.status_code for answer in answers} == {403}

    async def test_has_the_url_of_the_settings(self, storage: Storage) -> None:
        s3 = S3(settings_of(storage.environment(), s3_public_url="https://pictures.zoo.example/"))
        await s3.close()

        assert s3.public_url("a b/ü.webp") == "https://pictures.zoo.example/a%20b/%C3%BC.webp"


class TestDeleting:
    async def test_it_is_gone(self, s3: S3, key: str) -> None:
        await s3.put_private(key, BODY, JPEG)
        await s3.put_public(key, BODY, JPEG)

        await s3.delete(key)
        await s3.delete_public(key)

        assert await s3.head(key) is None
        async with browser() as anybody:
            assert (await anybody.get(s3.public_url(key))).status_code == 404

    async def test_what_is_not_there_is_gone_already(self, s3: S3, key: str) -> None:
        await s3.delete(key)
        await s3.delete_public(key)

    async def test_no_key_is_no_bucket(self, s3: S3) -> None:
        with pytest.raises(ValueError, match="key"):
            await s3.delete("")
