"""An executor for tests of how a query is run."""

from typing import Any

import asyncpg


class Recorder:
    """An executor that records its statements."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.sent: list[tuple[str, tuple[Any, ...]]] = []

    async def fetchrow(self, sql: str, *values: Any) -> asyncpg.Record | None:
        self.sent.append((sql, values))
        return await self.connection.fetchrow(sql, *values)
