"""The driver's own connections, from the engine's pool: for statements that need no session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.errors import is_lost, is_stale
from api.database.pool import FairQueuePool

Connect = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]
"""Takes a connection from the pool: `async with connect() as connection`."""


class Database:
    """The database: each statement runs on any free connection, in a transaction of its own.

    Statements that belong together need `begin()`. Between two statements, no connection is held.
    """

    def __init__(self, connect: Connect) -> None:
        self.connect = connect

    async def fetchrow(self, sql: str, *values: Any) -> asyncpg.Record | None:
        """The first row; None if there is none."""
        async with self.connect() as connection:
            return await connection.fetchrow(sql, *values)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction: committed at its end, rolled back on any exception."""
        async with self.connect() as connection, connection.transaction():
            yield connection


@asynccontextmanager
async def savepoint(transaction: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """The same connection, for work that is rolled back on any exception, while the transaction goes on."""
    async with transaction.transaction():
        yield transaction


class PooledConnection:
    """A connection taken from the engine's pool, until the block ends: `async with PooledConnection(engine) as ...`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def __aenter__(self) -> asyncpg.Connection:
        pool = self.engine.pool
        assert isinstance(pool, FairQueuePool)  # create_engine()'s
        self.checked_out = await pool.checkout()
        return self.checked_out.driver_connection

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        # The statement may still run: after a BEGIN, the connection's next user would be in that transaction.
        if isinstance(error, TimeoutError | asyncio.CancelledError) or (
            error is not None and (is_stale(error) or is_lost(error))
        ):
            self.checked_out.driver_connection.terminate()  # type: ignore[union-attr]
        self.checked_out.close()
