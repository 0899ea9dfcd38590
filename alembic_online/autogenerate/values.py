"""The value that existing rows get in a column that becomes NOT NULL."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import CompileError

from alembic_online.autogenerate.sql import literal_sql
from alembic_online.expressions import default_sql, sql_of

RANDOM_UUID = "gen_random_uuid()"
# The empty value of each type; the first entry that a column's type is an instance of counts.
_EMPTY: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (sa.Boolean, "false"),
    (sa.Integer, "0"),
    (sa.Numeric, "0"),
    (sa.Float, "0"),
    (sa.String, "''"),
    (sa.LargeBinary, "''"),
    (sa.DateTime, "now()"),
    (sa.Date, "CURRENT_DATE"),
    (sa.Time, "'00:00'"),
    (sa.Interval, "'0'"),
    (sa.Uuid, RANDOM_UUID),
    (sa.ARRAY, "'{}'"),
    (sa.JSON, "'{}'"),
)


@dataclass(frozen=True)
class Value:
    """An SQL expression; `is_guess` if it comes from no default, so that another may be meant."""

    sql: str
    is_guess: bool


def value_for(column: sa.Column[Any]) -> Value | None:
    """The model's default, or else the empty value of the column's type; None if neither can be right."""
    value = _declared(column) or _empty(column)
    # A unique column can't have the same value in all rows.
    return None if value is None or (_is_unique(column) and value.sql != RANDOM_UUID) else value


def _declared(column: sa.Column[Any]) -> Value | None:
    if found := default_sql(column.server_default):
        return Value(found, is_guess=False)
    default = column.default
    try:
        if isinstance(default, sa.ColumnDefault) and default.is_scalar:
            return Value(literal_sql(default.arg, column.type), is_guess=False)
        if isinstance(default, sa.ColumnDefault) and default.is_clause_element:
            return Value(sql_of(default.arg), is_guess=False)
    except (NotImplementedError, CompileError):
        pass  # it can't be written in SQL
    return None


def _empty(column: sa.Column[Any]) -> Value | None:
    if column.foreign_keys:
        return None
    if isinstance(column.type, sa.Enum):
        return Value(literal_sql(column.type.enums[0], sa.Text()), is_guess=True)
    for type_, empty in _EMPTY:
        if isinstance(column.type, type_):
            return Value(empty, is_guess=True)
    return None


def _is_unique(column: sa.Column[Any]) -> bool:
    table = column.table
    keys: list[list[Any]] = [
        list(constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, sa.UniqueConstraint | sa.PrimaryKeyConstraint)
    ]
    keys += [list(index.expressions) for index in table.indexes if index.unique]
    return any(len(key) == 1 and key[0] is column for key in keys)
