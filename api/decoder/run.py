"""Runs the decoder: one process a photo, and on a machine one at a time, because each may take up to a GiB of memory.

Without a photo there is none, so that it costs nothing; and what one photo leaves behind in it, no other one meets.
"""

import asyncio
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CHILD = Path(__file__).with_name("child.py")
SIDES = (320, 1280)  # pixels of the longer side of a rendition, at most
CONTENT_TYPES = {"image/jpeg", "image/png", "image/webp"}
MAX_ANSWER = 16 * 2**20  # bytes
MAX_REASON = 200  # characters
PART = 2**16
SECONDS = 120  # for all of it, on a busy machine; its time on a processor is limited in child.py
NICENESS = 10  # requests come first
LOCK = "zoo-decoder-{uid}.lock"


class Undecodable(Exception):
    """The file is no photo that can be shown; the message says why, and that does not change."""


class DecoderDied(Exception):
    """The decoder ended without an answer: by one of its limits, or because the machine has no memory left."""


@dataclass(frozen=True)
class Decoded:
    """What a photo is, by its content; its pixels as it is seen; and its renditions, as WebP, one for each of SIDES."""

    content_type: str
    width: int
    height: int
    renditions: list[bytes]


@contextmanager
def only_decoder() -> Iterator[int | None]:
    """A lock, or None if another process of this user on this machine has it; the lock ends with the block, and with
    the decoder that was given it.
    """
    path = Path(tempfile.gettempdir()) / LOCK.format(uid=os.getuid())
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        is_taken = False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_taken = True
        yield None if is_taken else lock
    finally:
        os.close(lock)


async def decode(photo: bytes, lock: int) -> Decoded:
    """The renditions of a photo. Undecodable if it is none, DecoderDied if that can't be said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(CHILD), str(NICENESS), *map(str, SIDES), env={}, cwd="/", pass_fds=[lock],
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            written, _ = await asyncio.gather(_read(process), _write(process, photo))
            await process.wait()
    except TimeoutError:
        raise DecoderDied(f"it takes more than {SECONDS} s to decode") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        while await _read(process):  # what is left: before its pipe has ended, asyncio does not see that it has
            pass
        await process.wait()
    if process.returncode != 0:
        raise DecoderDied("it takes too long, or too much memory, to decode")
    return _understood(written)


async def _write(process: asyncio.subprocess.Process, photo: bytes) -> None:
    assert process.stdin
    with suppress(BrokenPipeError, ConnectionResetError):  # it has ended
        process.stdin.write(photo)
        await process.stdin.drain()
    process.stdin.close()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    """What it writes, up to what an answer may have."""
    assert process.stdout
    written = bytearray()
    while len(written) <= MAX_ANSWER and (part := await process.stdout.read(PART)):
        written += part
    return bytes(written)


def _understood(written: bytes) -> Decoded:
    try:
        line, _, rest = written.partition(b"\n")
        found = json.loads(line)
        if "refused" in found:
            raise Undecodable(str(found["refused"])[:MAX_REASON])
        small, large = found["lengths"]
        renditions = [rest[:small], rest[small:]]
        width, height = found["size"]
        decoded = Decoded(str(found["type"]), int(width), int(height), renditions)
    except (ValueError, LookupError, TypeError) as error:
        raise DecoderDied("the decoder answers what can't be understood") from error
    if decoded.content_type not in CONTENT_TYPES:
        raise DecoderDied("the decoder answers a type that is not asked for")
    if len(rest) != small + large or not all(part[:4] == b"RIFF" and part[8:12] == b"WEBP" for part in renditions):
        raise DecoderDied("the decoder answers no renditions")
    return decoded
