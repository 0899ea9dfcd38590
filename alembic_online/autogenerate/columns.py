"""Columns that are added or dropped."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.schema import DefaultClause

from alembic_online.autogenerate import recipes
from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.fill import NO_KEY, fill
from alembic_online.autogenerate.sql import is_rewritten_by_column, type_sql
from alembic_online.autogenerate.step import Note, Place, Step
from alembic_online.autogenerate.values import Value, value_for
from alembic_online.compare.differences import Generated
from alembic_online.expressions import as_text, default_sql
from alembic_online.operations.not_null import DropNotNullOnlineOp

FOR_THE_PREVIOUS = """\
The default is for the previous release of the app, which does not know the column, and goes on inserting rows. The last
revision of this change drops the default."""


def add(operation: ops.AddColumnOp, change: ChangeContext, dropped: Sequence[sa.Column[Any]]) -> Iterator[Step]:
    """A new column; `dropped` are the columns that its table loses: it may be one of them, renamed."""
    column = operation.column
    title = f"{operation.table_name}.{column.name}"
    if is_only_described(operation):
        yield Step(Place.TOGETHER, f"not yet {title}", Note(recipes.generated_column(column)))
        return
    yield from change.types_of(column)
    default = default_sql(column.server_default)
    if column.identity is not None or column is column.table.autoincrement_column:
        note = Note(recipes.identity_column(column))
        yield Step(Place.TOGETHER, f"add {title}", note, bare(operation))
    elif default and is_rewritten_by_column(column):
        has_key, notes = change.key(operation.table_name, operation.schema), []
        if not has_key:
            left = f"Existing rows have NULL there: {NO_KEY}."
            notes = [Note(left if column.nullable else recipes.fill_not_null(column, NO_KEY, change.release))]
        new_rows = set_default(operation, sa.text(as_text(default)))
        yield Step(Place.TOGETHER, f"add {title}", *notes, bare(operation), new_rows)
        if has_key:
            yield from fill(column, Value(default, is_guess=False), change, Place.FILL)
    elif default or column.nullable:
        yield Step(Place.TOGETHER, f"add {title}", operation)
    elif dropped:
        recipe = recipes.fill_not_null(column, another_name(dropped), change.release)
        yield Step(Place.TOGETHER, f"add {title}", Note(recipe), bare(operation))
    else:
        yield from _add_not_null(operation, change)


def is_only_described(operation: ops.AddColumnOp) -> bool:
    """Whether the column's values are stored, and computed by Postgres: adding it would rewrite the table."""
    computed = operation.column.computed
    return computed is not None and computed.persisted is not False


def _add_not_null(operation: ops.AddColumnOp, change: ChangeContext) -> Iterator[Step]:
    """A NOT NULL column that only the new release of the app writes.

    The previous release goes on inserting rows. If they had NULL there, the new release would read what its models
    exclude, and a backfill would never end. So the column has a default until the previous release has gone: everything
    else can be done at once, and only dropping the default is left for the contract phase.
    """
    column = operation.column
    title = f"{operation.table_name}.{column.name}"
    value = value_for(column)
    if value is None or not change.key(operation.table_name, operation.schema):
        why = NO_KEY if value else "only you know which value the existing rows should have"
        recipe = recipes.fill_not_null(column, why, change.release)
        yield Step(Place.TOGETHER, f"add {title}", Note(recipe), bare(operation))
        return
    default = set_default(operation, sa.text(as_text(value.sql)))
    yield Step(Place.TOGETHER, f"add {title}", bare(operation), Note(FOR_THE_PREVIOUS), default)
    yield from fill(column, value, change, Place.FILL)
    without = ops.AlterColumnOp(
        operation.table_name,
        column.name,
        schema=operation.schema,
        existing_type=column.type,
        existing_nullable=False,
        existing_server_default=DefaultClause(sa.text(as_text(value.sql))),
        modify_server_default=None,
    )
    yield Step(Place.CONTRACT_TOGETHER, f"no default of {title}", without)


def drop(operation: ops.DropColumnOp, change: ChangeContext, added: Sequence[sa.Column[Any]]) -> Iterator[Step]:
    """A column that is no longer in the models, but stays for now; `added` are the new columns of its table.

    The new release does not write it, so it has to accept NULL or have a default.
    """
    column = operation.to_column()
    table = change.model_table(operation.table_name, operation.schema)
    recipe = recipes.drop_column(table, column, change.release)
    # The first of the same type, or else the first.
    if alike := sorted(added, key=lambda other: type_sql(other.type) != type_sql(column.type)):
        recipe += f"\n\n{recipes.rename_column(table, column.name, alike[0], change.release)}"
    if column.nullable or column.server_default is not None or column.primary_key:
        yield Step(Place.TOGETHER, f"keep {table.name}.{column.name}", Note(recipe))
    else:
        not_null = DropNotNullOnlineOp(table.name, column.name, schema=operation.schema)
        yield Step(Place.LOOSEN, f"{table.name}.{column.name} may be NULL", Note(recipe), not_null)


def change_generated(difference: Generated, change: ChangeContext) -> Iterator[Step]:
    """A column whose expression is another, or is no longer there, or is new."""
    note = Note(recipes.change_generated(difference.column, difference.there, change.release))
    yield Step(Place.TOGETHER, f"keep {difference.column.table.name}.{difference.column.name}", note)


def another_name(dropped: Sequence[sa.Column[Any]]) -> str:
    """Why the value of a column is not known while its table loses others."""
    lost = " or ".join(other.name for other in dropped)
    return f"it may be another name for {lost}; if it is not, the existing rows need a value"


def bare(operation: ops.AddColumnOp) -> ops.AddColumnOp:
    """The same column, nullable and without a default."""
    column = operation.column
    plain: sa.Column[Any] = sa.Column(column.name, column.type, nullable=True, comment=column.comment)
    return ops.AddColumnOp(operation.table_name, plain, schema=operation.schema)


def set_default(operation: ops.AddColumnOp, value: sa.TextClause) -> ops.AlterColumnOp:
    """A default of a column that was added without one: it is for new rows only."""
    return ops.AlterColumnOp(
        operation.table_name,
        operation.column.name,
        schema=operation.schema,
        existing_type=operation.column.type,
        existing_nullable=True,
        existing_server_default=None,
        modify_server_default=DefaultClause(value),
    )
