"""Passwords: hashed with Argon2id, in a thread of their own.

A hash is made to be slow and to take much memory, and anybody may ask for one by trying to sign in. So they are made
one at a time in each process, and nobody waits in a queue that grows without end, or behind a crowd: those who sign in
and those who store a password take turns, and among each of them addresses and accounts do.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from api.client import CLIENT
from api.errors import Unavailable
from api.turns import TooManyWait, Turns, way

MAX_WAITING = 40

T = TypeVar("T")

# What OWASP's Password Storage Cheat Sheet asks for: 19 MiB, 2 passes, 1 lane. pwdlib's default, RFC 9106's 64 MiB,
# took eight times the CPU time, and a container's memory with it.
_hasher = PasswordHash((Argon2Hasher(memory_cost=19 * 1024, time_cost=2, parallelism=1),))
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
_turns = Turns(1, MAX_WAITING)


async def hash_password(password: str) -> str:
    """The hash to store; Unavailable where too many wait for theirs."""
    return await _in_turn("store", lambda: _hasher.hash(normalized(password)))


async def verify_password(password: str, hashed: str | None) -> bool:
    """Whether `hashed` is the hash of `password`; Unavailable where too many wait for theirs.

    Without a hash, because there is no such account, it is False after as much work.
    """
    if hashed is None:
        await _in_turn("verify", lambda: _hasher.hash(normalized(password)))
        return False
    return await _in_turn("verify", lambda: _hasher.verify(normalized(password), hashed))


def normalized(password: str) -> str:
    """The same characters in the same code points: other keyboards send others (NIST SP 800-63B, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


async def _in_turn(purpose: str, work: Callable[[], T]) -> T:
    client = CLIENT.get()
    # In either way: one address may have many accounts, and one account be tried from many addresses.
    asking = way(purpose, client.address, client.name), way(purpose, client.name)
    try:
        await _turns.take(asking)
    except TooManyWait:
        raise Unavailable("Too many sign in, or register, at this moment") from None
    try:
        return await asyncio.get_running_loop().run_in_executor(_thread, work)
    finally:
        _turns.give_back(asking)
