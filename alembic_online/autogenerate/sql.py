"""Expressions, types and columns as SQL, and what Postgres would do with it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn
from sqlalchemy.sql.type_api import TypeEngine

from alembic_online.expressions import DIALECT, quote, sql_of
from alembic_online.sql import Schema, Work, find_effects
from alembic_online.sql.names import qualified


def table_sql(name: str, schema: str | None) -> str:
    """The table, as SQL."""
    return qualified(schema or "", name)


def literal_sql(value: Any, type_: TypeEngine[Any]) -> str:
    """The value as SQL; NotImplementedError or CompileError if its type can't be written as a literal."""
    return sql_of(sa.literal(value, type_))


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
