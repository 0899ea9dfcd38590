"""Requests that are held up at the right moment, by a lock that the test has: no luck is needed."""

import asyncio
from typing import Any

import asyncpg

from tests.conftest import WAITING


async def until_it_waits(admin: asyncpg.Connection, request: asyncio.Task[Any]) -> None:
    """Wait until `request` waits for a lock that `admin` has; AssertionError if it ends without."""
    while not await admin.fetchval(WAITING):
        assert not request.done(), f"it did not wait: {request.result()}"
        await asyncio.sleep(0.01)


async def free(connection: asyncpg.Connection, table: str, key: str) -> set[Any]:
    """The keys of the rows that nobody has locked."""
    rows = await connection.fetch(f"SELECT {key} FROM {table} FOR UPDATE SKIP LOCKED")
    return {row[0] for row in rows}
