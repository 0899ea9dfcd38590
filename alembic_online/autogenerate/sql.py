"""Expressions, types and columns as SQL, and what Postgres would do with it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateColumn, DefaultClause
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.type_api import TypeEngine

from alembic_online.sql import Schema, Work, find_effects
from alembic_online.sql.names import qualified

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
quote = DIALECT.identifier_preparer.quote


def table_sql(name: str, schema: str | None) -> str:
    """The table, as SQL."""
    return qualified(schema or "", name)


def sql_of(element: ClauseElement) -> str:
    """The expression, with its values in it."""
    return str(element.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))


def literal_sql(value: Any, type_: TypeEngine[Any]) -> str:
    """The value as SQL; NotImplementedError or CompileError if its type can't be written as a literal."""
    return sql_of(sa.literal(value, type_))


def default_sql(default: sa.FetchedValue | None) -> str | None:
    """The expression of a server default; None if there is none, or it is not known."""
    if not isinstance(default, DefaultClause):
        return None
    return literal_sql(default.arg, sa.Text()) if isinstance(default.arg, str) else sql_of(default.arg)


def type_sql(type_: TypeEngine[Any]) -> str:
    """The type, as SQL."""
    return str(type_.compile(dialect=DIALECT))


def is_rewritten_by_column(column: sa.Column[Any]) -> bool:
    """Whether adding this column of the models rewrites a table that has rows."""
    table = table_sql(column.table.name, column.table.schema)
    return _touches_rows(f"ALTER TABLE {table} ADD COLUMN {CreateColumn(column).compile(dialect=DIALECT)}")


def is_rewritten_by_type(column: str, old: TypeEngine[Any], new: TypeEngine[Any]) -> bool:
    """Whether this change of a column's type rewrites or scans a table that has rows."""
    present = Schema(columns={"t": {column: type_sql(old)}})
    return _touches_rows(f"ALTER TABLE t ALTER COLUMN {quote(column)} TYPE {type_sql(new)}", present)


def _touches_rows(statement: str, schema: Schema | None = None) -> bool:
    return any(effect.work is not Work.NONE for effect in find_effects(statement, schema or Schema()))
