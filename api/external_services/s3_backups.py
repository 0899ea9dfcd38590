"""Backups of the database in an S3: in a bucket of their own, for which the api's own key is no good.

A backup is written in parts, because S3 takes no more than 5 GiB at once; it is there when all of them are, or never.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import IO
from xml.sax.saxutils import escape

from api.external_services.errors import StorageRefused, StorageUnavailable
from api.external_services.s3 import Stored, list_objects
from api.external_services.s3_keys import keys_of
from api.external_services.s3_requests import S3Requests
from api.settings import Settings

PART = 16 * 2**20  # bytes in memory; S3 takes 10,000 of them, which are 156 GiB
DONE = {200, 204}
NOT_FOUND = 404


class Backups:
    """The bucket of the backups. All that waits raises StorageUnavailable or StorageRefused if the storage fails.

    ValueError if the settings name none.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.s3_url is None or settings.s3_backup_bucket is None:
            raise ValueError("S3_URL and S3_BACKUP_BUCKET: not set, so there is no bucket for backups")
        self._bucket = settings.s3_backup_bucket
        self._requests = S3Requests(settings.s3_url, settings.s3_region, keys_of(settings))

    async def close(self) -> None:
        """Close the connections."""
        await self._requests.close()

    def list(self) -> AsyncIterator[Stored]:
        """All backups, in the order of their names."""
        return list_objects(self._requests, self._bucket)

    async def put(self, name: str, content: IO[bytes]) -> None:
        """Write all of `content` as the backup `name`. StorageRefused if its checksum is not that of the name."""
        path = self._path(name)
        begun = await self._requests.send("POST", path, DONE, query={"uploads": ""})
        upload = {"uploadId": _text(begun.content, "UploadId")}
        try:
            await self._upload(path, upload, content)
        except BaseException:
            with suppress(StorageUnavailable, StorageRefused):
                await self._requests.send("DELETE", path, DONE | {NOT_FOUND}, query=upload)
            raise

    async def _upload(self, path: str, upload: dict[str, str], content: IO[bytes]) -> None:
        etags: list[str] = []
        size, digest = 0, hashlib.sha256()
        while body := content.read(PART):
            query = {"partNumber": str(len(etags) + 1), **upload}
            answer = await self._requests.send("PUT", path, DONE, query=query, body=body)
            etags.append(answer.headers["etag"])
            size += len(body)
            digest.update(body)
        if not path.endswith(f"-{digest.hexdigest()}.dump"):
            raise StorageRefused("The backup was cut off: it has another checksum than its name")
        # Sent twice, it may find the upload complete; and an error may follow its 200.
        await self._requests.send("POST", path, DONE | {NOT_FOUND}, query=upload, body=_complete(etags))
        if await self._size(path) != size:
            await self._requests.send("DELETE", path, DONE | {NOT_FOUND})
            raise StorageRefused("The storage had another backup than it was sent")

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """The backup `name`, in parts. StorageRefused if it is not there."""
        path = self._path(name)
        size = await self._size(path)
        for start in range(0, size, PART):
            end = min(start + PART, size) - 1
            answer = await self._requests.send("GET", path, {206}, headers={"range": f"bytes={start}-{end}"}, most=PART)
            if len(answer.content) != end - start + 1:
                raise StorageRefused("The storage answers another part than it was asked for")
            yield answer.content

    async def _size(self, path: str) -> int:
        answer = await self._requests.send("HEAD", path, {200, NOT_FOUND})
        if answer.status == NOT_FOUND:
            raise StorageRefused(f"There is no backup {path.rpartition('/')[2]} in the bucket {self._bucket}")
        return int(answer.headers["content-length"])

    def _path(self, name: str) -> str:
        return f"/{self._bucket}/{name}"


def _complete(etags: list[str]) -> bytes:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def _text(content: bytes, name: str) -> str:
    found = re.search(rf"<{name}>([^<]+)</{name}>", content.decode())
    if found is None:
        raise StorageRefused(f"The storage answers without {name}")
    return found[1]
