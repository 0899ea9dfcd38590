"""The existing constraints, indexes and NOT NULLs of a table, from Postgres's catalogs.

Names of tables, columns and constraints are passed as SQL has them, quoted where needed.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

_COLUMNS = (
    "array(SELECT attname FROM unnest({key}) WITH ORDINALITY AS key (number, position)"
    " JOIN pg_attribute ON attrelid = {table} AND attnum = number ORDER BY position)"
)
_CONSTRAINT = text(
    f"SELECT contype, convalidated, {_COLUMNS.format(key='conkey', table='conrelid')},"  # noqa: S608 - a constant
    f" confrelid = to_regclass(:referred), {_COLUMNS.format(key='confkey', table='confrelid')},"
    " confupdtype, confdeltype"
    " FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = (parse_ident(:name))[1]"
)
_INDEX = text(
    "SELECT indisvalid, indisunique, indpred IS NOT NULL, array(SELECT attname"
    " FROM unnest(indkey) WITH ORDINALITY AS key (number, position)"
    " LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = number AND number <> 0"
    " WHERE position <= indnkeyatts ORDER BY position), indrelid = to_regclass(:table)"
    " FROM pg_index JOIN pg_class index ON index.oid = indexrelid"
    " WHERE relname = (parse_ident(:name))[1]"
    " AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:table))"
)
_NOT_NULL = text(
    "SELECT attnotnull, conname, coalesce(convalidated, attnotnull) FROM pg_attribute"
    " LEFT JOIN pg_constraint ON contype = 'n' AND conrelid = attrelid AND conkey = ARRAY[attnum]"
    " WHERE attrelid = to_regclass(:table) AND attname = (parse_ident(:column))[1]"
)


@dataclass(frozen=True)
class Constraint:
    """A constraint; `kind` is Postgres's letter: c (check), f (foreign key), u (unique), p (primary), n (not null)."""

    kind: str
    is_validated: bool
    columns: list[str]
    refers: bool | None
    """Whether it refers to the table `referred`; NULL if none was given."""
    referred_columns: list[str]
    on_update: str
    on_delete: str
    """Postgres's letters: a (no action), r (restrict), c (cascade), n (set null), d (set default)."""


@dataclass(frozen=True)
class Index:
    """An index. `columns` has None for an expression."""

    is_valid: bool
    is_unique: bool
    is_partial: bool
    columns: list[str | None]
    is_on_table: bool


@dataclass(frozen=True)
class NotNull:
    """Whether a column may be NULL. Before Postgres 18, NOT NULL is no constraint, and always validated."""

    is_set: bool
    constraint: str | None
    is_validated: bool


def find_constraint(connection: Connection, table: str, name: str, referred: str | None = None) -> Constraint | None:
    """The constraint `name` of `table`; None if there is none."""
    row = connection.execute(_CONSTRAINT, {"table": table, "name": name, "referred": referred}).one_or_none()
    if row is None:
        return None
    kind, is_validated, columns, refers, referred_columns, on_update, on_delete = row
    actions = on_update.decode(), on_delete.decode()
    return Constraint(kind.decode(), is_validated, columns, refers, referred_columns, *actions)


def find_index(connection: Connection, table: str, name: str) -> Index | None:
    """The index `name` in the schema of `table`; None if there is none."""
    row = connection.execute(_INDEX, {"table": table, "name": name}).one_or_none()
    return None if row is None else Index(*row)


def find_not_null(connection: Connection, table: str, column: str) -> NotNull | None:
    """Whether `column` of `table` may be NULL; None if there is no such column."""
    row = connection.execute(_NOT_NULL, {"table": table, "column": column}).one_or_none()
    return None if row is None else NotNull(*row)
