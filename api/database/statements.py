"""Statements that are written with the models, compiled once, and run by the driver itself: most of the traffic.

From a `select` to its objects, SQLAlchemy takes many times as long as asyncpg does for the query: it analyses it to
find what it has compiled before, switches between greenlets, and creates objects whose changes it tracks. Data that is
only read needs none of that: here a row becomes a plain dataclass, which pydantic accepts. benchmarks/RESULTS.md has
the gain.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NewType, Protocol, overload

import asyncpg
from pydantic_core import to_json
from sqlalchemy import JSON, ClauseElement, Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.compiler import SQLCompiler
from typing_extensions import TypeVar  # with defaults, which typing's has from Python 3.13 on

from api.database.limits import misfit
from api.errors import Unprocessable

Query = NewType("Query", str)
"""SQL that only reads."""


class ReadDatabase(Protocol):
    """Runs SQL that only reads: on the database, or on a replica, which can't do anything else.

    Each `Executor` is one. What takes this type may be given a replica, and nothing else can be.
    """

    async def fetchrow(self, sql: Query, *values: Any) -> asyncpg.Record | None:
        """The first row; None if there is none."""


class Executor(Protocol):
    """Runs SQL, as asyncpg's connections do: all of it in one transaction, or each statement in its own."""

    async def fetchrow(self, sql: str, *values: Any) -> asyncpg.Record | None:
        """The first row; None if there is none."""


T = TypeVar("T")
D_contra = TypeVar("D_contra", bound=ReadDatabase, default=Executor, contravariant=True)

_DIALECT = dialect()  # type: ignore[no-untyped-call]


class Statement(Generic[T, D_contra]):
    """A statement whose values are `bindparam`s; a row of it becomes what `row` returns for its columns.

    One of a `select` may be a `Statement[T, ReadDatabase]`; any other is a `Statement[T]`, and needs an `Executor`.

    A `bindparam` with a `callable_` has the value that this returns. Values and columns have the driver's types:
    SQLAlchemy does not convert them, and an enum is a string. JSON is read by its codec, and written here.
    """

    @overload
    def __init__(self: "Statement[T, ReadDatabase]", statement: Select[Any], row: Callable[..., T]) -> None: ...
    @overload
    def __init__(self: "Statement[T]", statement: ClauseElement, row: Callable[..., T]) -> None: ...
    def __init__(self, statement: ClauseElement, row: Callable[..., T]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self._sql = Query(compiled.string)
        self._names = compiled.positiontup or ()
        self._types = {name: bind.type for name, bind in compiled.binds.items()}
        self._where = "body" if compiled.isinsert or compiled.isupdate else "query"
        self._found = {name: bind.callable for name, bind in compiled.binds.items() if bind.callable is not None}
        self._json = {name for name in self._names if isinstance(self._types[name], JSON)}
        self._row = row

    async def first(self, db: D_contra, /, **values: Any) -> T | None:
        """What the first row becomes; None if there is none. Unprocessable if a column can't hold a value."""
        record = await self._fetch(db, self._sql, values)
        return None if record is None else self._row(*record)

    async def explain(self, db: D_contra, /, **values: Any) -> str:
        """The first line of how Postgres would run it. Unprocessable as `first` is."""
        plan = await self._fetch(db, Query(f"EXPLAIN {self._sql}"), values)
        assert plan is not None
        return str(plan[0])

    async def _fetch(self, db: D_contra, sql: Query, values: dict[str, Any]) -> asyncpg.Record | None:
        for name, find in self._found.items():
            values[name] = find()
        for name in self._json:
            values[name] = None if values[name] is None else to_json(values[name]).decode()
        try:
            return await db.fetchrow(sql, *(values[name] for name in self._names))
        except asyncpg.DataError as error:
            raise self._refused(values) or error from error

    def _refused(self, values: Mapping[str, Any]) -> Unprocessable | None:
        found = [(name, misfit(self._types[name], values[name])) for name in self._names]
        detail = [{"type": "value", "loc": [self._where, name], "msg": why} for name, why in found if why]
        return Unprocessable(detail) if detail else None
