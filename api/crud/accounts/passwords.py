"""Passwords: hashed with Argon2id, in a thread of their own.

Hashing is slow and takes much memory, on purpose, and anybody can cause it by trying to sign in. So each process hashes
one password at a time, the queue is limited, and no client waits behind a crowd: signing in and storing a password take
turns, and in each of the two, so do addresses and accounts.
"""

import asyncio
import unicodedata
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from api.client import CLIENT
from api.errors import Unavailable
from api.metrics import count_refusal
from api.turns import TooManyWait, Turns, way

MAX_WAITING = 40
PATIENCE_SECONDS = 20.0  # at the usual speed all MAX_WAITING are done in three

T = TypeVar("T")

# What OWASP's Password Storage Cheat Sheet asks for: 19 MiB, 2 passes, 1 lane. pwdlib's default, RFC 9106's 64 MiB,
# took eight times the CPU time, and used up a container's memory.
_hasher = PasswordHash((Argon2Hasher(memory_cost=19 * 1024, time_cost=2, parallelism=1),))
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
_turns = Turns(1, MAX_WAITING)


def name_client(name: Hashable) -> None:
    """Give this request's client a name: it has no credentials if somebody signs in, or registers."""
    CLIENT.set(CLIENT.get()._replace(name=name))


async def hash_password(password: str) -> str:
    """The hash to store; Unavailable if too many wait for theirs."""
    return await _in_turn("store", lambda: _hasher.hash(normalized(password)))


async def verify_password(password: str, hashed: str | None) -> bool:
    """Whether `hashed` is the hash of `password`; Unavailable if too many wait for theirs.

    Without a hash, because there is no such account, it is False, after the same amount of work.
    """
    if hashed is None:
        await _in_turn("verify", lambda: _hasher.hash(normalized(password)))
        return False
    return await _in_turn("verify", lambda: _hasher.verify(normalized(password), hashed))


def normalized(password: str) -> str:
    """`password` in a normal form, because keyboards send different code points (NIST SP 800-63B, section 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


async def _in_turn(purpose: str, work: Callable[[], T]) -> T:
    client = CLIENT.get()
    # Grouped both ways: one address may try many accounts, and one account may be tried from many addresses.
    asking = way(purpose, client.address, client.name), way(purpose, client.name)
    try:
        await _turns.take(asking, PATIENCE_SECONDS)
    except (TooManyWait, TimeoutError):
        count_refusal("queue")
        raise Unavailable("Too many sign in, or register, at this moment") from None
    try:
        return await asyncio.get_running_loop().run_in_executor(_thread, work)
    finally:
        _turns.give_back(asking)
