"""Answers that are lost after their request was done; sent again with its key, it is not done twice."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.types import Message

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.postgres_proxy import proxying
from tests.conftest import answering

# Send what makes a row of a table, with this key.
Send = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]


class GoneError(Exception):
    """The client no longer reads the answer."""


async def lose_the_database(server: Server, database: str, admin: asyncpg.Connection, table: str, send: Send) -> None:
    """The connection is cut when a row of the table has been committed, five times."""
    async with proxying(server.socket_dir / ".s.PGSQL.5432") as proxy:
        url = f"postgresql://zoo_api@127.0.0.1:{proxy.port}/{database}?sslmode=disable"
        async with answering(create_app(Settings(database_url=url, database_pool_size=3))) as client:
            for number in range(5):
                proxy.armed = f"INSERT INTO {table}".encode()
                lost = await send(client, f"k{number}")
                assert lost.status_code == 503
                assert proxy.cuts == number + 1
                again = await send(client, f"k{number}")
                assert again.status_code == 201
                assert await _rows(admin, table) == number + 1


async def lose_the_client(client: httpx.AsyncClient, admin: asyncpg.Connection, table: str, send: Send) -> None:
    """The client has gone when the row of the table is committed, before the first byte of the answer."""
    app = client._transport.app  # type: ignore[attr-defined]  # noqa: SLF001 - httpx's
    committed: list[int] = []

    async def leaving(scope: Any, receive: Any, _: Any) -> None:
        async def gone(_: Message) -> None:
            committed.append(await _rows(admin, table))

        await app(scope, receive, gone)
        raise GoneError

    async with httpx.AsyncClient(transport=httpx.ASGITransport(leaving), base_url="http://zoo.test") as left:
        with pytest.raises(GoneError):
            await send(left, "left")
    assert committed[0] == 1
    again = await send(client, "left")
    assert again.status_code == 201
    assert await _rows(admin, table) == 1


async def _rows(admin: asyncpg.Connection, table: str) -> int:
    return int(await admin.fetchval(f"SELECT count(*) FROM {table}"))
