"""Backups in a bucket of their own: all of one, or nothing."""

import hashlib
import io
from base64 import b64encode
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from api.external_services import s3_backups
from api.external_services.errors import StorageRefused, StorageUnavailable
from api.external_services.s3_backups import Backups
from api.external_services.s3_buckets import BACKUPS_LIFECYCLE, make_buckets
from api.external_services.s3_keys import keys_of
from api.external_services.s3_requests import S3Requests
from local.storage import Storage
from tests.api.storage_proxy import proxying
from tests.conftest import settings_of

PART = 5 * 2**20  # the least that S3 takes, but for the last one
BUCKET = "zoo-backups"


def name_of(content: bytes) -> str:
    return f"zoo-0.3.0-20261126T221718Z-{hashlib.sha256(content).hexdigest()}.dump"


async def names(backups: Backups) -> list[str]:
    return [stored.key async for stored in backups.list()]


async def read(backups: Backups, name: str) -> bytes:
    return b"".join([part async for part in backups.get(name)])


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_backups, "PART", PART)


@pytest.fixture(scope="module")
async def backups(storage: Storage) -> AsyncIterator[Backups]:
    settings = settings_of(storage.admin_environment(), s3_backup_bucket=BUCKET)
    await make_buckets(settings)
    backups = Backups(settings)
    yield backups
    await backups.close()


@pytest.mark.parametrize("size", [1, PART, PART + 1])
async def test_what_is_written_is_read(backups: Backups, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    await backups.put(name_of(content), io.BytesIO(content))
    assert name_of(content) in await names(backups)
    assert await read(backups, name_of(content)) == content


@pytest.mark.parametrize("left", [0, 1, PART + 1])
async def test_one_that_was_cut_off_on_its_way_is_not_there(backups: Backups, left: int) -> None:
    content = bytes(PART + 2)
    with pytest.raises(StorageRefused, match="cut off"):
        await backups.put(name_of(content), io.BytesIO(content[:left]))
    assert name_of(content) not in await names(backups)


@pytest.mark.parametrize("fault", ["lose", "503"])
async def test_a_storage_that_fails_now_and_then_is_asked_again(storage: Storage, backups: Backups, fault: str) -> None:
    """Also for the end of an upload, which it may have done without an answer."""
    content = fault.encode().ljust(PART + 1)
    async with proxying(storage.url) as proxy:
        settings = settings_of(storage.admin_environment(), s3_backup_bucket=BUCKET, s3_url=proxy.url)
        flaky = Backups(settings)
        proxy.script.extend(["pass", fault, "pass", "pass", fault])
        await flaky.put(name_of(content), io.BytesIO(content))
        await flaky.close()
    assert await read(backups, name_of(content)) == content


async def test_an_upload_that_fails_leaves_nothing(storage: Storage, backups: Backups) -> None:
    content = b"fails"
    async with proxying(storage.url) as proxy:
        failing = Backups(settings_of(storage.admin_environment(), s3_backup_bucket=BUCKET, s3_url=proxy.url))
        proxy.script.extend(["pass", "pass", "503", "503", "503"])
        with pytest.raises(StorageUnavailable):
            await failing.put(name_of(content), io.BytesIO(content))
        await failing.close()
        assert proxy.requests[-1].startswith("DELETE")  # of what has arrived
    assert name_of(content) not in await names(backups)


async def test_one_that_the_storage_has_not_in_full_is_deleted(storage: Storage, backups: Backups) -> None:
    content = b"in full"
    name = name_of(content)
    by_the_admin = S3Requests(storage.url, "us-east-1", keys_of(settings_of(storage.admin_environment())))

    async def shorten(when: str, first: str) -> None:
        if when == "before" and first.startswith("HEAD"):
            await by_the_admin.send("PUT", f"/{BUCKET}/{name}", {200}, body=content[:-1])

    async with proxying(storage.url) as proxy:
        proxy.watch = shorten
        through = Backups(settings_of(storage.admin_environment(), s3_backup_bucket=BUCKET, s3_url=proxy.url))
        with pytest.raises(StorageRefused, match="another backup"):
            await through.put(name, io.BytesIO(content))
        await through.close()
    await by_the_admin.close()
    assert name not in await names(backups)


async def test_uploads_that_were_cut_off_end_by_a_rule_beside_which_there_may_be_others(storage: Storage) -> None:
    bucket = f"backups-{uuid4().hex}"
    settings = settings_of(storage.admin_environment(), s3_backup_bucket=bucket)
    by_the_admin = S3Requests(storage.url, "us-east-1", keys_of(settings))

    async def rules() -> str:
        return (await by_the_admin.send("GET", f"/{bucket}", {200}, query={"lifecycle": ""})).content.decode()

    assert await make_buckets(settings) == []
    assert "<DaysAfterInitiation>1</DaysAfterInitiation>" in await rules()
    body = BACKUPS_LIFECYCLE.replace("<Prefix></Prefix>", "<Prefix>mine</Prefix>").encode()
    md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    await by_the_admin.send(
        "PUT", f"/{bucket}", {200}, query={"lifecycle": ""}, headers={"content-md5": md5}, body=body
    )
    assert await make_buckets(settings) == []
    assert "mine" in await rules()
    await by_the_admin.close()


async def test_one_that_is_not_there_is_refused(backups: Backups) -> None:
    with pytest.raises(StorageRefused, match=f"There is no backup {name_of(b'no')} in the bucket {BUCKET}"):
        await read(backups, name_of(b"no"))


async def test_the_apis_key_may_neither_read_nor_write_them(storage: Storage, backups: Backups) -> None:
    await backups.put(name_of(b"secret"), io.BytesIO(b"secret"))
    by_the_api = Backups(settings_of(storage.environment(), s3_backup_bucket=BUCKET))
    for attempt in (
        read(by_the_api, name_of(b"secret")),
        by_the_api.put(name_of(b"mine"), io.BytesIO(b"mine")),
        names(by_the_api),
    ):
        with pytest.raises(StorageRefused, match="403"):
            await attempt
    await by_the_api.close()


def test_a_bucket_of_the_api_is_refused() -> None:
    for name in ("zoo-private", "zoo-public"):
        with pytest.raises(ValueError, match="S3_BACKUP_BUCKET"):
            settings_of(
                {"S3_URL": "http://s3", "S3_BUCKET": "zoo-private", "S3_PUBLIC_BUCKET": "zoo-public"},
                s3_backup_bucket=name,
            ).require_storage()
