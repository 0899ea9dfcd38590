"""How many rows a query finds: exactly if they are few, or else as Postgres estimates."""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, literal_column, select

from api.database.statements import ReadDatabase, Statement

MAX_EXACT = 10_000  # counting more would take longer than reading a page


@dataclass(frozen=True)
class Count:
    """A number of rows; `is_exact` is false if it is an estimate."""

    rows: int
    is_exact: bool


class Counts:
    """Counts the rows of a query."""

    def __init__(self, rows: Select[Any]) -> None:
        rows = rows.with_only_columns(literal_column("1")).order_by(None)
        some = rows.limit(literal_column(str(MAX_EXACT + 1))).subquery("some")
        self._some: Statement[int, ReadDatabase] = Statement(select(func.count()).select_from(some), int)
        self._plan: Statement[str, ReadDatabase] = Statement(rows, str)

    async def count(self, db: ReadDatabase, estimated: int, /, **values: Any) -> Count:
        """How many rows there are with these parameters, of which Postgres expects as many as `estimated`."""
        if estimated > 2 * MAX_EXACT:  # they would not all be counted
            return Count(estimated, is_exact=False)
        found = await self._some.first(db, **values) or 0
        return Count(found, is_exact=True) if found <= MAX_EXACT else Count(max(estimated, found), is_exact=False)

    async def estimate(self, db: ReadDatabase, /, **values: Any) -> int:
        """How many rows Postgres expects with these parameters."""
        estimated = re.search(r"rows=(\d+)", await self._plan.explain(db, **values))
        return int(estimated[1]) if estimated else 0
