"""Requests that are held up at the right moment, by a lock that the test has: no luck is needed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.conftest import WAITING, answering


@pytest.fixture(scope="module")
def database(module_database: str) -> str:
    """The module's database: each test has records of its own."""
    return module_database


@pytest.fixture(scope="module")
async def committing_client(server: Server, database: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one api for all of them, signed in as the admin, whose requests really commit."""
    async with answering(create_app(patient(server, database))) as client:
        yield client


def patient(server: Server, database: str) -> Settings:
    """Of an api that waits for as long as a busy machine takes."""
    url = server.url("zoo_api", database)
    return Settings(database_url=url, database_pool_size=20, database_pool_timeout=60, database_connect_timeout=60)


@asynccontextmanager
async def holding(admin: asyncpg.Connection, sql: str, *values: Any) -> AsyncIterator[None]:
    """A transaction that has done this, and is committed at the end of the block."""
    async with admin.transaction():
        await admin.execute(sql, *values)
        yield


async def until_it_waits(admin: asyncpg.Connection, request: asyncio.Task[Any]) -> None:
    """Wait until `request` waits for a lock that `admin` has; AssertionError if it ends without."""
    while not await admin.fetchval(WAITING):
        assert not request.done(), f"it did not wait: {request.result()}"
        await asyncio.sleep(0.01)


async def free(connection: asyncpg.Connection, table: str, key: str) -> set[Any]:
    """The keys of the rows that nobody has locked."""
    rows = await connection.fetch(f"SELECT {key} FROM {table} FOR UPDATE SKIP LOCKED")
    return {row[0] for row in rows}
