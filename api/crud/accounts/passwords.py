"""Passwords: hashed with Argon2id, in a thread of their own.

A hash is made to be slow and to take much memory, and anybody may ask for one by trying to sign in. So they are made
one at a time in each process, and nobody waits in a queue that grows without end.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from api.errors import Unavailable

MAX_WAITING = 40
# Of these, for others than those who sign in: who registers by the hundred does not keep them out.
MAX_WAITING_TO_STORE = 20

T = TypeVar("T")

# What OWASP's Password Storage Cheat Sheet asks for: 19 MiB, 2 passes, 1 lane. pwdlib's default, RFC 9106's 64 MiB,
# took eight times the CPU time, and a container's memory with it.
_hasher = PasswordHash((Argon2Hasher(memory_cost=19 * 1024, time_cost=2, parallelism=1),))
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
_waiting = 0


async def hash_password(password: str) -> str:
    """The hash to store; Unavailable where too many wait for theirs."""
    return await _in_thread(lambda: _hasher.hash(normalized(password)), MAX_WAITING_TO_STORE)


async def verify_password(password: str, hashed: str | None) -> bool:
    """Whether `hashed` is the hash of `password`; Unavailable where too many wait for theirs.

    Without a hash, for there is no such account, it is False after as much work.
    """
    if hashed is None:
        await _in_thread(lambda: _hasher.hash(normalized(password)), MAX_WAITING)
        return False
    return await _in_thread(lambda: _hasher.verify(normalized(password), hashed), MAX_WAITING)


def normalized(password: str) -> str:
    """The same characters in the same code points: other keyboards send others (NIST SP 800-63B, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


async def _in_thread(work: Callable[[], T], most: int) -> T:
    global _waiting  # noqa: PLW0603 - of the process, as the thread is
    if _waiting >= most:
        raise Unavailable("Too many sign in, or register, at this moment")
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_thread, work)
    finally:
        _waiting -= 1
