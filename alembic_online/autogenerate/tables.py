"""Tables that are added or dropped."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic.operations import ops

from alembic_online.autogenerate import recipes
from alembic_online.autogenerate.constraints import refer
from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.step import Note, Place, Step
from alembic_online.compare.constraints import constraints_of
from alembic_online.expressions import as_text, sql_of


def create(operation: ops.CreateTableOp, change: ChangeContext) -> Iterator[Step]:
    """A new table. Its foreign keys come later if the table they refer to is in use, because in CREATE TABLE they would
    block its writes; and if it is not there yet, because the two refer to each other.
    """
    change.created.add(change.table(operation))
    foreign_keys = [
        item
        for item in operation.columns
        if isinstance(item, sa.ForeignKeyConstraint)
        and (item.use_alter or change.of(item.referred_table) not in change.created)
    ]
    operation.columns = [
        item
        for item in operation.columns
        if not isinstance(item, sa.CheckConstraint) and all(item is not other for other in foreign_keys)
    ]
    operation.columns += _checks(operation, change)
    yield from change.types_of(*(item for item in operation.columns if isinstance(item, sa.Column)))
    yield Step(Place.TOGETHER, f"create {operation.table_name}", operation)
    for foreign_key in foreign_keys:
        yield refer(foreign_key, change)


def _checks(operation: ops.CreateTableOp, change: ChangeContext) -> Iterator[sa.CheckConstraint]:
    """The table's checks, its columns' and its types', which Alembic would leave to each of them."""
    for wanted in constraints_of(change.model_table(operation.table_name, operation.schema)):
        if isinstance(wanted.constraint, sa.CheckConstraint):
            name = sa.schema.conv(wanted.name) if wanted.is_named else None
            yield sa.CheckConstraint(sa.text(as_text(sql_of(wanted.constraint.sqltext))), name=name)


def drop(operation: ops.DropTableOp, change: ChangeContext) -> Iterator[Step]:
    """A table that is no longer in the models, but stays for now."""
    note = Note(recipes.drop_table(operation.table_name, operation.schema, change.release))
    yield Step(Place.TOGETHER, f"keep {operation.table_name}", note)
