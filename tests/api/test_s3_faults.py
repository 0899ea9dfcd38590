"""The storage is away, slow, refuses, or answers what it should not: in time, and in words that say so."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import httpx
import pytest

from api.external_services import s3_requests
from api.external_services.errors import StorageRefused, StorageUnavailable
from api.external_services.s3 import S3
from local.storage import Storage
from tests.api.storage_proxy import StorageProxy, proxying
from tests.conftest import settings_of
from tests.ports import find_free_port

pytestmark = pytest.mark.usefixtures("no_backoff")

BODY = b"as if it were a picture"

Call = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
async def only_proxy(storage: Storage) -> AsyncIterator[StorageProxy]:
    async with proxying(storage.url) as proxy:
        yield proxy


@pytest.fixture
def proxy(only_proxy: StorageProxy) -> StorageProxy:
    """One that passes on everything, until it is told something else."""
    only_proxy.always = "pass"
    only_proxy.script.clear()
    return only_proxy


@pytest.fixture(scope="module")
async def behind(only_proxy: StorageProxy, storage: Storage) -> AsyncIterator[S3]:
    """The client, with the proxy before its storage."""
    s3 = S3(settings_of(storage.environment(), s3_url=only_proxy.url))
    yield s3
    await s3.close()


@pytest.fixture
def key() -> str:
    return f"{uuid4()}/a"


@pytest.fixture
async def calls(s3: S3, behind: S3, key: str) -> list[Call]:
    """All that the client does, with an object that is there already."""
    await s3.put_private(key, BODY, "image/png")
    there = await s3.head(key)
    assert there is not None

    async def head() -> None:
        assert await behind.head(key) == there

    async def get() -> None:
        assert await behind.get(key, there.etag, size=there.size) == BODY

    async def objects() -> None:
        assert [found.key async for found in behind.objects(key)] == [key]

    async def put() -> None:
        await behind.put_public(key, BODY, "image/webp")

    async def delete() -> None:
        await behind.delete(key)

    return [head, get, objects, put, delete]


# What is sent again is known in one place, for all calls: all are made where something was done, and where nothing was.
OF_ALL = {"lose", "503", "403"}


def those_of(fault: str, calls: list[Call]) -> list[Call]:
    """The calls that are made with a fault."""
    return calls if fault in OF_ALL else calls[:2]


@pytest.mark.parametrize("fault", ["drop", "reset", "lose", "cut", "500", "502", "503", "429", "408"])
async def test_what_passes_is_not_noticed(calls: list[Call], proxy: StorageProxy, fault: str) -> None:
    for call in those_of(fault, calls):
        proxy.requests.clear()
        proxy.script.extend([fault, fault])

        await call()

        assert len(proxy.requests) == 3


@pytest.mark.parametrize("fault", ["drop", "lose", "cut", "500", "501", "503", "429"])
async def test_what_lasts_is_said_to_be_unavailable(calls: list[Call], proxy: StorageProxy, fault: str) -> None:
    proxy.always = fault
    for call in those_of(fault, calls):
        proxy.requests.clear()

        with pytest.raises(StorageUnavailable, match=r"The storage (can't be reached|answers \d+)"):
            await call()

        assert len(proxy.requests) == 3


async def test_what_is_gone_already_is_deleted(calls: list[Call], proxy: StorageProxy) -> None:
    """AWS answers 204 to that, others 404."""
    proxy.script.append("404")
    *_, delete = calls
    await delete()


@pytest.mark.parametrize("fault", ["hold", "trickle"])
async def test_what_is_slow_is_not_waited_for(
    calls: list[Call], proxy: StorageProxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_requests, "MAX_SECONDS", 0.3)
    proxy.always = fault
    began = time.monotonic()
    errors = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
    assert time.monotonic() - began < 3  # on a busy machine
    for call, error in zip(calls, errors, strict=True):
        assert isinstance(error, StorageUnavailable), call
        assert "does not answer in time" in str(error), call


@pytest.mark.parametrize("fault", ["400", "401", "403", "405", "301", "307"])
async def test_a_refusal_is_said_at_once(calls: list[Call], proxy: StorageProxy, fault: str) -> None:
    proxy.always = fault
    for call in those_of(fault, calls):
        proxy.requests.clear()

        with pytest.raises(StorageRefused, match=f"The storage answers {fault}"):
            await call()

        assert len(proxy.requests) == 1


async def test_an_answer_without_an_end_is_not_read_to_it(calls: list[Call], proxy: StorageProxy) -> None:
    proxy.always = "endless"
    for call in calls[1:4]:
        with pytest.raises(StorageRefused, match="more than it was asked for"):
            await call()


def a_list(content: str) -> str:
    return f"<ListBucketResult>{content}</ListBucketResult>"


@pytest.mark.parametrize(
    "answer",
    [
        "not XML",
        "<html></html>",
        a_list("<Contents></Contents>"),
        a_list("<Contents><Key>a</Key><Size>b</Size><LastModified>2026-11-26T18:00:00Z</LastModified></Contents>"),
        a_list("<Contents><Key>a</Key><Size>1</Size><LastModified>yesterday</LastModified></Contents>"),
        a_list("<IsTruncated>true</IsTruncated>"),
        # The same part again and again; and a text that would fill the memory.
        a_list("<IsTruncated>true</IsTruncated><NextContinuationToken>a</NextContinuationToken>"),
        f'<!DOCTYPE x [<!ENTITY a "{"a" * 10_000}"><!ENTITY b "{"&a;" * 1_000}"><!ENTITY c "{"&b;" * 1_000}">]>'
        + a_list("<Name>&c;</Name>"),
    ],
)
async def test_a_list_that_is_none_is_refused(behind: S3, proxy: StorageProxy, answer: str) -> None:
    proxy.always = answer

    with pytest.raises(StorageRefused, match="The storage answers"):
        _ = [found async for found in behind.objects("")]


async def test_a_head_without_an_etag_is_refused(behind: S3, proxy: StorageProxy, key: str) -> None:
    proxy.always = "something else"

    with pytest.raises(StorageRefused, match="ETag"):
        await behind.head(key)


async def test_another_object_than_was_asked_for_is_refused(behind: S3, proxy: StorageProxy, key: str) -> None:
    proxy.always = "x" * len(BODY)

    with pytest.raises(StorageRefused, match="another object"):
        await behind.get(key, '"etag"', size=len(BODY))


async def test_a_storage_that_is_not_there_is_unavailable(storage: Storage, key: str) -> None:
    for url in (f"http://127.0.0.1:{find_free_port()}", "http://storage.invalid"):
        s3 = S3(settings_of(storage.environment(), s3_url=url))
        with pytest.raises(StorageUnavailable, match="The storage can't be reached"):
            await s3.head(key)
        await s3.close()


async def test_a_wrong_secret_is_refused_and_not_shown(storage: Storage, key: str) -> None:
    s3 = S3(settings_of(storage.environment(), s3_secret_access_key="a secret that is wrong"))

    with pytest.raises(StorageRefused, match=r"403 \(SignatureDoesNotMatch\)") as refused:
        await s3.put_private(key, BODY, "image/png")

    await s3.close()
    assert "a secret" not in str(refused.value)


def test_callers_that_catch_neither_answer_with_a_status_that_says_so() -> None:
    assert (StorageUnavailable("").status, StorageRefused("").status) == (
        httpx.codes.SERVICE_UNAVAILABLE,
        httpx.codes.BAD_GATEWAY,
    )
