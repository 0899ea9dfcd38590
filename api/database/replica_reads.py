"""The reads of one request, of a replica."""

from collections.abc import Callable
from typing import Any

import asyncpg

from api.database.errors import DATABASE_ERRORS, is_of_this_server
from api.database.replica import NotRead, Replica
from api.database.statements import Executor, Query
from api.errors import Unavailable


class ReplicaReads:
    """Runs queries on the replica, and on the primary what the replica does not find, or can't run.

    A client that has just created a record would miss it otherwise; and a statement of this release may need a column
    that the replica does not have yet, or be ended because what is replayed is in its way.
    """

    def __init__(self, replica: Replica, primary: Executor, mark_stale: Callable[[float], None]) -> None:
        self._replica = replica
        self._primary = primary
        self._mark_stale = mark_stale
        self._is_on_replica = True

    async def fetchrow(self, sql: Query, *values: Any) -> asyncpg.Record | None:
        """The first row; None if there is none."""
        if self._is_on_replica and (found := await self._from_replica(sql, *values)) is not None:
            return found
        # All further ones, too: what is listed next must not be older than what was found.
        self._is_on_replica = False
        return await self._primary.fetchrow(sql, *values)

    async def _from_replica(self, sql: Query, *values: Any) -> asyncpg.Record | None:
        try:
            async with self._replica.connect() as (connection, staleness):
                found = await connection.fetchrow(sql, *values)
        except NotRead:
            return None
        except (Unavailable, *DATABASE_ERRORS) as error:
            if not is_of_this_server(error):
                raise
            self._replica.note_failure(error)
            return None
        if staleness and found is not None:
            self._mark_stale(staleness)
        return found
