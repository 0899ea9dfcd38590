"""What autogenerate has found, in online form."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import rewriter
from alembic.operations import MigrateOperation, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.dialects.postgresql.base import PGInspector

from alembic_online.autogenerate import alterations, columns, constraints, enums, schemas, sequences, tables
from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.step import Place, Step
from alembic_online.compare.differences import Difference, EnumValues, Generated, NewSequence, PrimaryKey

online = rewriter.Rewriter()


@online.rewrites(ops.UpgradeOps)
def rewrite(context: MigrationContext, _: Any, upgrade: ops.UpgradeOps) -> ops.UpgradeOps:
    """The same change in steps that can be taken while the tables are in use."""
    database = inspect(context.connection)
    assert isinstance(database, PGInspector)
    change = ChangeContext(database, context.opts["target_metadata"], context.opts["release"])
    change.new |= {change.table(each) for each in upgrade.ops if isinstance(each, ops.CreateTableOp)}
    gone = {change.table(each) for each in upgrade.ops if isinstance(each, ops.DropTableOp)}
    first = [each for each in upgrade.ops if isinstance(each, NewSequence)]  # tables may need them
    steps = [
        *schemas.create(context.opts["project"], change),
        *(
            step
            for operation in (*first, *(each for each in upgrade.ops if each not in first))
            if not (isinstance(operation, ops.ModifyTableOps) and change.table(operation) in gone)
            for step in _steps(operation, change)
        ),
    ]
    return ops.UpgradeOps(steps, upgrade_token=upgrade.upgrade_token)


def _steps(operation: MigrateOperation, change: ChangeContext) -> Iterator[Step]:
    if isinstance(operation, ops.CreateTableOp):
        yield from tables.create(operation, change)
    elif isinstance(operation, ops.DropTableOp):
        yield from tables.drop(operation, change)
    elif isinstance(operation, ops.ModifyTableOps) and change.table(operation) not in change.new:
        yield from _modify(operation, change)
    elif isinstance(operation, EnumValues):
        yield from enums.change(operation, change)
    elif isinstance(operation, NewSequence):
        yield from sequences.create(operation)
    else:
        yield Step(Place.TOGETHER, "", operation)


def _describe(difference: Difference, change: ChangeContext) -> Iterator[Step]:
    """What is only described, of an existing table."""
    if isinstance(difference, Generated):
        yield from columns.change_generated(difference, change)
    elif isinstance(difference, PrimaryKey):
        yield from constraints.change_key(difference, change)


def _modify(table: ops.ModifyTableOps, change: ChangeContext) -> Iterator[Step]:
    """The changes of an existing table."""
    table.ops = [constraints.with_name(operation) for operation in table.ops]
    refused = {
        each.column_name for each in table.ops if isinstance(each, ops.AlterColumnOp) and alterations.is_refused(each)
    }
    succeeded = set(map(alterations.successor, refused))
    dropped = [each for each in table.ops if isinstance(each, ops.DropColumnOp) and each.column_name not in succeeded]
    lost: list[sa.Column[Any]] = [each.to_column() for each in dropped]
    additions = [each for each in table.ops if isinstance(each, ops.AddColumnOp)]
    added = [each.column for each in additions]
    missing = refused | {each.column.name for each in additions if columns.is_only_described(each)}
    staying = succeeded | {column.name for column in lost}
    arriving = {constraints.name_of(each) for each in table.ops if isinstance(each, constraints.Added)}
    for operation in table.ops:
        if isinstance(operation, ops.AddColumnOp):
            yield from columns.add(operation, change, lost)
        elif isinstance(operation, ops.AlterColumnOp):
            yield from alterations.alter(operation, change, lost)
        elif isinstance(operation, Difference):
            yield from _describe(operation, change)
        elif isinstance(operation, constraints.Added):
            yield from constraints.add(operation, missing, change)
        elif isinstance(operation, constraints.Removed):
            # Those of columns that stay for now stay with them, unless others need their names.
            is_replaced = constraints.name_of(operation) in arriving
            if is_replaced or not constraints.columns_of(operation) & staying:
                yield from constraints.remove(operation, is_replaced=is_replaced)
        elif not isinstance(operation, ops.DropColumnOp):
            yield Step(Place.TOGETHER, f"change {table.table_name}", operation)
    for drop in dropped:
        yield from columns.drop(drop, change, added)
