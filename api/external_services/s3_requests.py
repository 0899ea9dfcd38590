"""Requests to S3: signed, bounded in time and size, and sent again where that may help."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from api.external_services.errors import StorageRefused, StorageUnavailable
from api.external_services.http import MAX_SECONDS, NOT_FOR_GOOD, PASS_ON, TIMEOUT, TryAgainError, tls, tries
from api.external_services.s3_keys import Keys
from api.external_services.sigv4 import Signer, encoded, encoded_query
from api.metrics import calling

MAX_ANSWER = 4 * 2**20  # bytes; a list of 1,000 objects has at most 2 MiB
SLOWEST = 256 * 2**10  # bytes a second: a request has the time for its bytes besides MAX_SECONDS


@dataclass(frozen=True)
class Answer:
    """An answer that has arrived completely."""

    status: int
    headers: httpx.Headers
    content: bytes


class S3Requests:
    """Sends requests to S3 at a URL. It keeps connections open, until `close()`."""

    def __init__(self, url: str, region: str, keys: Keys) -> None:
        self._url = url
        self._region = region
        self._keys = keys
        self._client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=tls(url), event_hooks=PASS_ON)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._keys.close()

    async def signer(self) -> Signer:
        """What signs requests that are sent now. StorageUnavailable or StorageRefused if there are no keys."""
        return Signer(await self._keys.current(), self._region, datetime.now(UTC))

    async def send(  # noqa: PLR0913 - the parts of a request, and what is expected of the answer
        self,
        method: str,
        path: str,
        expected: set[int],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        most: int = MAX_ANSWER,
    ) -> Answer:
        """The answer, if its status is one of those `expected` and the content of a success has at most `most` bytes.

        `path` is that of a bucket or an object, not encoded. All that is sent here may be sent twice, and is after an
        error of the connection or of the server. StorageUnavailable or StorageRefused otherwise.
        """
        url = self._url + encoded(path) + (f"?{encoded_query(query)}" if query else "")

        async def send() -> Answer:
            signer = await self.signer()
            # Bytes as they are stored: nobody decompresses what strangers have uploaded.
            sent = {"accept-encoding": "identity", **signer.signed(method, url, headers or {}, body)}
            async with self._client.stream(method, url, headers=sent, content=body) as response:
                is_expected = response.status_code in expected
                if not is_expected and (response.is_server_error or response.status_code in NOT_FOR_GOOD):
                    raise TryAgainError(f"answers {response.status_code}")
                content = await _read(response, most if response.is_success else MAX_ANSWER)
            if not is_expected:
                raise StorageRefused(f"The storage answers {response.status_code}{_code(content)}")
            return Answer(response.status_code, response.headers, content)

        with calling("storage"):
            try:
                async with asyncio.timeout(MAX_SECONDS + max(len(body), most - MAX_ANSWER) / SLOWEST):
                    answer: Answer = await tries()(send)
            except (TimeoutError, httpx.TimeoutException) as error:
                raise StorageUnavailable("The storage does not answer in time") from error
            except httpx.HTTPError as error:
                raise StorageUnavailable("The storage can't be reached") from error
            except TryAgainError as error:
                raise StorageUnavailable(f"The storage {error}") from error
        return answer


async def _read(response: httpx.Response, most: int) -> bytes:
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > most:
            raise StorageRefused("The storage answers more than it was asked for")
    return bytes(content)


def _code(content: bytes) -> str:
    """S3's word for what is wrong, such as AccessDenied."""
    found = re.search(rb"<Code>(\w{1,64})</Code>", content)
    return f" ({found[1].decode()})" if found else ""
