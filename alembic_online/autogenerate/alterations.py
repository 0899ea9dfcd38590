"""Columns that change."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.schema import DefaultClause

from alembic_online.autogenerate import identities, recipes
from alembic_online.autogenerate.columns import another_name, bare
from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.fill import NO_KEY, fill
from alembic_online.autogenerate.sql import is_rewritten_by_type
from alembic_online.autogenerate.step import Note, Place, Step
from alembic_online.autogenerate.values import value_for
from alembic_online.operations.not_null import DropNotNullOnlineOp, SetNotNullOnlineOp
from alembic_online.postgres import fit

STILL_NULL = """\
The previous release of the app writes NULL here, so this waits until it has gone. Until then the new release reads
NULLs."""


def alter(operation: ops.AlterColumnOp, change: ChangeContext, dropped: Sequence[sa.Column[Any]]) -> Iterator[Step]:
    """A column whose type, default, comment or NOT NULL differs in the models; `dropped` are those its table loses."""
    table, name = operation.table_name, operation.column_name
    column = change.model(table, operation.schema, name)
    if is_refused(operation):
        yield from _succeed(operation, column, change)
        return
    rest, without = copy.copy(operation), None
    rest.modify_nullable = None
    if identities.concerns(operation):
        numbers = copy.copy(rest)
        numbers.modify_type, numbers.modify_comment, rest.modify_server_default = None, False, False
        yield from identities.alter(numbers, column, change)
    elif isinstance(operation.modify_server_default, DefaultClause) and operation.existing_server_default is None:
        rest.existing_server_default = identities.default_of_serial(column, change)  # Alembic hides it
    elif operation.modify_server_default is None:
        without = copy.copy(rest)
        without.modify_type, without.modify_comment, rest.modify_server_default = None, False, False
    if rest.has_changes():
        yield Step(Place.TOGETHER, f"change {table}.{name}", rest)
    if without:  # the previous release may rely on it
        yield Step(Place.CONTRACT_TOGETHER, f"no default of {table}.{name}", without)
    if operation.modify_nullable is True:
        loose = DropNotNullOnlineOp(table, name, schema=operation.schema)
        yield Step(Place.LOOSEN, f"{table}.{name} may be NULL", loose)
    elif operation.modify_nullable is False:
        yield from _set_not_null(column, change, dropped)


def is_refused(operation: ops.AlterColumnOp) -> bool:
    """Whether the column's type changes in a way that touches the rows."""
    old, new = operation.existing_type, operation.modify_type
    return old is not None and new is not None and is_rewritten_by_type(operation.column_name, old, new)


def successor(column: str) -> str:
    """The column that takes the place of one whose type changes."""
    return fit(column, "_new")


def _set_not_null(column: sa.Column[Any], change: ChangeContext, dropped: Sequence[sa.Column[Any]]) -> Iterator[Step]:
    """NOT NULL for a column that the previous release of the app knows, and in which it may write NULL at any time."""
    table, value = column.table, value_for(column)
    if column.computed is not None:  # nobody writes it
        operation = SetNotNullOnlineOp(table.name, column.name, schema=table.schema)
        yield Step(Place.CONTRACT, f"{table.name}.{column.name} NOT NULL", operation)
        return
    if dropped or value is None or not change.key(table.name, table.schema):
        why = another_name(dropped) if dropped else NO_KEY if value else "only you know which value should replace NULL"
        note = Note(recipes.fill_not_null(column, why, change.release))
        yield Step(Place.TOGETHER, f"not yet {table.name}.{column.name} NOT NULL", note)
        return
    backfill, not_null = fill(column, value, change, Place.CONTRACT)
    yield Step(backfill.place, backfill.title, Note(STILL_NULL), *backfill.ops)
    yield not_null


def _succeed(operation: ops.AlterColumnOp, column: sa.Column[Any], change: ChangeContext) -> Iterator[Step]:
    """A column of the new type beside the old one."""
    table, name = operation.table_name, successor(column.name)
    assert operation.existing_type is not None
    note = Note(recipes.change_type(column, name, operation.existing_type, change.release))
    there = {found["name"] for found in change.database.get_columns(table, schema=operation.schema)}
    if name in there:
        yield Step(Place.TOGETHER, f"keep {table}.{column.name}", note)
        return
    yield from change.types_of(column)
    renamed = sa.Column(name, column.type, comment=column.comment)
    yield Step(
        Place.TOGETHER,
        f"add {table}.{name}",
        note,
        bare(ops.AddColumnOp(table, renamed, schema=operation.schema)),
    )
