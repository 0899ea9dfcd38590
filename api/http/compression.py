"""gzip (RFC 9110, section 8.4.1.3): which answers are compressed, for which clients, and how."""

import asyncio
import re
import zlib
from collections.abc import Mapping
from functools import lru_cache

LEAST_BYTES = 1024  # below that, it saves less than its headers take
LARGE_BYTES = 2**17  # larger parts are compressed in a thread, because other requests would wait for milliseconds
LEVEL = 1  # benchmarks/RESULTS.md says what other levels cost, and save
GZIP_FORMAT = 16 + zlib.MAX_WBITS

TEXT = (b"application/json", b"text/", b"application/javascript", b"image/svg")
PARTIAL_CONTENT = 206

_is_refused = re.compile(rb"\s*q\s*=\s*0(\.0*)?\s*").fullmatch


def can_be_compressed(headers: Mapping[bytes, bytes], status: int) -> bool:
    """Whether an answer with these headers, and a long body, can be compressed.

    A part of a file can't: a range counts the bytes of the uncompressed file.
    """
    is_text = headers.get(b"content-type", b"").startswith(TEXT)
    return is_text and status != PARTIAL_CONTENT and b"content-encoding" not in headers


@lru_cache(maxsize=64)
def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether a client that sends this accepts gzip: it has to name it, and not as `gzip;q=0`."""
    for coding in accept_encoding.split(b","):
        name, _, quality = coding.partition(b";")
        if name.strip().lower() == b"gzip":
            return not _is_refused(quality)
    return False


class Gzip:
    """One answer's body, compressed part by part."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_FORMAT)

    async def part(self, body: bytes, *, is_last: bool) -> bytes:
        """The compressed bytes that can be sent so far."""
        if len(body) > LARGE_BYTES:
            return await asyncio.to_thread(self._compress, body, is_last=is_last)
        return self._compress(body, is_last=is_last)

    def _compress(self, part: bytes, *, is_last: bool) -> bytes:
        compressed = self._compressor.compress(part)
        return compressed + self._compressor.flush() if is_last else compressed
