"""Statements that are written with the models, compiled once, and run by the driver itself: most of the traffic.

From a `select` to its objects, SQLAlchemy takes many times as long as asyncpg does for the query: it analyses it to
find what it has compiled before, switches between greenlets, and creates objects whose changes it tracks. Data that is
only read needs none of that: here a row becomes a plain dataclass, which pydantic accepts. benchmarks/RESULTS.md has
the gain.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import asyncpg
from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.compiler import SQLCompiler

from api.database.limits import misfit
from api.errors import Unprocessable

T = TypeVar("T")

_DIALECT = dialect()  # type: ignore[no-untyped-call]


class Executor(Protocol):
    """Runs SQL, as asyncpg's connections do: all of it in one transaction, or each statement in its own."""

    async def fetchrow(self, sql: str, *values: Any) -> asyncpg.Record | None:
        """The first row; None if there is none."""


class Statement(Generic[T]):
    """A statement whose values are `bindparam`s; a row of it becomes what `row` returns for its columns.

    A `bindparam` with a `callable_` has the value that this returns. Values and columns have the driver's types:
    SQLAlchemy does not convert them, and an enum is a string.
    """

    def __init__(self, statement: ClauseElement, row: Callable[..., T]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self._sql = compiled.string
        self._names = compiled.positiontup or ()
        self._types = {name: bind.type for name, bind in compiled.binds.items()}
        self._where = "body" if compiled.isinsert or compiled.isupdate else "query"
        self._found = {name: bind.callable for name, bind in compiled.binds.items() if bind.callable is not None}
        self._row = row

    async def first(self, db: Executor, **values: Any) -> T | None:
        """What the first row becomes; None if there is none. Unprocessable if a column can't hold a value."""
        for name, find in self._found.items():
            values[name] = find()
        try:
            record = await db.fetchrow(self._sql, *(values[name] for name in self._names))
        except asyncpg.DataError as error:
            raise self._refused(values) or error from error
        return None if record is None else self._row(*record)

    async def explain(self, db: Executor, **values: Any) -> str:
        """The first line of how Postgres would run it."""
        plan = await db.fetchrow(f"EXPLAIN {self._sql}", *(values[name] for name in self._names))
        assert plan is not None
        return str(plan[0])

    def _refused(self, values: Mapping[str, Any]) -> Unprocessable | None:
        found = [(name, misfit(self._types[name], values[name])) for name in self._names]
        detail = [{"type": "value", "loc": [self._where, name], "msg": why} for name, why in found if why]
        return Unprocessable(detail) if detail else None
