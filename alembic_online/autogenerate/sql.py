"""SQL of expressions, types and columns, and what Postgres would make of it."""

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
    """The table, as it stands in SQL."""
    return qualified(schema or "", name)


def sql_of(element: ClauseElement) -> str:
    """The expression, with its values in it."""
    return str(element.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))


def literal_sql(value: Any, type_: TypeEngine[Any]) -> str:
    """The value as it stands in SQL; NotImplementedError or CompileError where its type has no way to write it."""
    return sql_of(sa.literal(value, type_))


def default_sql(default: sa.FetchedValue | None) -> str | None:
    """The expression of a server default; None where there is none, or none that can be told."""
    if not isinstance(default, DefaultClause):
        return None
    return literal_sql(default.arg, sa.Text()) if isinstance(default.arg, str) else sql_of(default.arg)


def type_sql(type_: TypeEngine[Any]) -> str:
    """The type, as it stands in SQL."""
    return str(type_.compile(dialect=DIALECT))


def is_rewritten_by_column(column: sa.Column[Any]) -> bool:
    """Whether a table that has rows is written anew to get this column of the models."""
    table = table_sql(column.table.name, column.table.schema)
    return _touches_rows(f"ALTER TABLE {table} ADD COLUMN {CreateColumn(column).compile(dialect=DIALECT)}")


def is_rewritten_by_type(column: str, old: TypeEngine[Any], new: TypeEngine[Any]) -> bool:
    """Whether a table that has rows is written anew, or looked through, when a column's type changes so."""
    present = Schema(columns={"t": {column: type_sql(old)}})
    return _touches_rows(f"ALTER TABLE t ALTER COLUMN {quote(column)} TYPE {type_sql(new)}", present)


def _touches_rows(statement: str, schema: Schema | None = None) -> bool:
    return any(effect.work is not Work.NONE for effect in find_effects(statement, schema or Schema()))
