"""Statements that are written with the models, compiled once, and run by the driver itself: most of the traffic.

From a `select` to its objects, SQLAlchemy takes many times as long as asyncpg does for the query: it takes it apart to
find what it has compiled before, goes from greenlet to greenlet, and makes objects whose changes it watches.
What is read and forgotten needs none of that: here a row becomes a plain dataclass, which pydantic takes as it is.
benchmarks/RESULTS.md has what that gives.
"""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import asyncpg
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.compiler import SQLCompiler

T = TypeVar("T")

_DIALECT = dialect()  # type: ignore[no-untyped-call]


class Executor(Protocol):
    """What runs SQL, as asyncpg's connections do: all of it in one transaction, or each statement in its own."""

    async def fetchrow(self, sql: str, *values: Any) -> asyncpg.Record | None:
        """The first row; None without one."""


class Statement(Generic[T]):
    """A statement whose values are `bindparam`s, and what a row of it becomes: `row`, called with its columns.

    Values and columns are those of the driver: SQLAlchemy's types don't convert them, and an enum is a string.
    """

    def __init__(self, statement: ClauseElement, row: Callable[..., T]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self._sql = compiled.string
        self._names = compiled.positiontup or ()
        self._row = row

    async def first(self, db: Executor, **values: Any) -> T | None:
        """What the first row becomes; None without one."""
        record = await db.fetchrow(self._sql, *(values[name] for name in self._names))
        return None if record is None else self._row(*record)
