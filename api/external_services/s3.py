"""The storage, by the S3 API: a private bucket for what is uploaded, a public one for what is shown."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from api.external_services.errors import StorageRefused
from api.external_services.s3_keys import keys_of
from api.external_services.s3_requests import S3Requests
from api.external_services.sigv4 import encoded
from api.settings import Settings

PAGE = 1000  # objects of a list in one answer
DONE = {200}
DELETED = {204, 404}
# The name of an object changes with its content.
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class PresignedPut:
    """What an upload needs: a PUT to `url` with exactly these headers."""

    url: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Head:
    """What is known of an object; `size` in bytes, `etag` with its quotes."""

    size: int
    etag: str
    content_type: str


@dataclass(frozen=True)
class Stored:
    """An object of a list; `size` in bytes."""

    key: str
    size: int
    modified: datetime


class S3:
    """Both buckets. All that waits raises StorageUnavailable or StorageRefused if the storage fails.

    Keys are not encoded. A name without `public` means the private bucket.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.s3_url  # Settings.require_usable() has looked at the others
        assert settings.s3_bucket
        assert settings.s3_public_bucket
        self._bucket = settings.s3_bucket
        self._public_bucket = settings.s3_public_bucket
        self._upload_url = settings.s3_upload_url or settings.s3_url
        self._public_url = settings.public_url
        self._requests = S3Requests(settings.s3_url, settings.s3_region, keys_of(settings))

    async def close(self) -> None:
        """Close the connections."""
        await self._requests.close()

    def public_url(self, key: str) -> str:
        """Where anybody can read an object of the public bucket."""
        return f"{self._public_url}/{encoded(key)}"

    async def presigned_put(self, key: str, *, size: int, content_type: str, expires: int) -> PresignedPut:
        """A URL under which exactly `size` bytes of that type can be written, once, within `expires` seconds."""
        headers = {"content-length": str(size), "content-type": content_type, "if-none-match": "*"}
        url = f"{self._upload_url}{encoded(_path(self._bucket, key))}"
        signer = await self._requests.signer()
        return PresignedPut(
            signer.presigned("PUT", url, headers, expires), {name.title(): value for name, value in headers.items()}
        )

    async def head(self, key: str) -> Head | None:
        """What is known of an object; None if there is none."""
        answer = await self._requests.send("HEAD", _path(self._bucket, key), {200, 404})
        if answer.status == 404:  # noqa: PLR2004 - Not Found
            return None
        try:
            size, etag = int(answer.headers["content-length"]), answer.headers["etag"]
        except (KeyError, ValueError) as error:
            raise StorageRefused("The storage answers without the size of an object, or its ETag") from error
        return Head(size, etag, answer.headers.get("content-type", ""))

    async def get(self, key: str, etag: str, *, size: int) -> bytes | None:
        """The bytes of an object of `size` bytes; None if there is no longer one with this ETag."""
        path = _path(self._bucket, key)
        answer = await self._requests.send("GET", path, {200, 404, 412}, headers={"if-match": etag}, most=size)
        if answer.status != 200:  # noqa: PLR2004 - OK
            return None
        if len(answer.content) != size or answer.headers.get("etag") != etag:
            raise StorageRefused("The storage answers another object than it was asked for")
        return answer.content

    async def put_private(self, key: str, body: bytes, content_type: str) -> None:
        """Write an object."""
        await self._put(self._bucket, key, {"content-type": content_type}, body)

    async def put_public(self, key: str, body: bytes, content_type: str) -> None:
        """Write an object that anybody can read, and keep for as long as they like."""
        headers = {"content-type": content_type, "cache-control": FOR_EVER}
        await self._put(self._public_bucket, key, headers, body)

    async def _put(self, bucket: str, key: str, headers: dict[str, str], body: bytes) -> None:
        answer = await self._requests.send("PUT", _path(bucket, key), DONE, headers=headers, body=body)
        if "etag" not in answer.headers:  # whatever has answered, it has not written an object
            raise StorageRefused("The storage does not say that it has written an object")

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        await self._requests.send("DELETE", _path(self._bucket, key), DELETED)

    async def delete_public(self, key: str) -> None:
        """Delete an object, if there is one."""
        await self._requests.send("DELETE", _path(self._public_bucket, key), DELETED)

    def objects(self, prefix: str) -> AsyncIterator[Stored]:
        """The objects whose keys begin with `prefix`."""
        return list_objects(self._requests, self._bucket, prefix)

    def public_objects(self, prefix: str) -> AsyncIterator[Stored]:
        """The objects whose keys begin with `prefix`."""
        return list_objects(self._requests, self._public_bucket, prefix)


async def list_objects(requests: S3Requests, bucket: str, prefix: str = "") -> AsyncIterator[Stored]:
    """The objects of a bucket whose keys begin with `prefix`, in the order of their keys."""
    query = {"list-type": "2", "prefix": prefix, "encoding-type": "url", "max-keys": str(PAGE)}
    while True:
        answer = await requests.send("GET", f"/{bucket}", DONE, query=query)
        try:
            found, token = _page(answer.content)
        except (ET.ParseError, LookupError, ValueError) as error:
            raise StorageRefused("The storage answers a list that can't be understood") from error
        for stored in found:
            yield stored
        if token is None:
            return
        if token == query.get("continuation-token"):
            raise StorageRefused("The storage answers the same part of a list twice")
        query["continuation-token"] = token


def _path(bucket: str, key: str) -> str:
    """The path of an object, not encoded. ValueError without a key: it would be that of the bucket itself."""
    if not key:
        raise ValueError("an object has a key")
    return f"/{bucket}/{key}"


def _page(content: bytes) -> tuple[list[Stored], str | None]:
    """The objects on a page of a list, and the token that leads to the next page, if there is one."""
    page = ET.fromstring(content)  # noqa: S314 - of our own storage; and expat bounds what entities expand to
    if _name(page) != "ListBucketResult":
        raise ValueError(_name(page))
    fields = {_name(child): child.text or "" for child in page}
    found = [_stored(entry, is_encoded="EncodingType" in fields) for entry in page if _name(entry) == "Contents"]
    return found, fields["NextContinuationToken"] if fields.get("IsTruncated") == "true" else None


def _stored(entry: ET.Element, *, is_encoded: bool) -> Stored:
    fields = {_name(child): child.text or "" for child in entry}
    key = unquote_plus(fields["Key"], errors="strict") if is_encoded else fields["Key"]
    return Stored(key, int(fields["Size"]), datetime.fromisoformat(fields["LastModified"]))


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
