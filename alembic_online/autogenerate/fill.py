"""Rows get their values, and then the column becomes NOT NULL."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.step import Note, Place, Step
from alembic_online.autogenerate.values import Value
from alembic_online.backfill import Backfill
from alembic_online.expressions import quote
from alembic_online.operations.not_null import SetNotNullOnlineOp
from alembic_online.operations.rows import BackfillOp

NO_KEY = "the table has no primary key, which a backfill needs"
GUESS = "No default says which value the existing rows should have: change this one if another is meant."


def fill(column: sa.Column[Any], value: Value, change: ChangeContext, place: Place) -> Iterator[Step]:
    """Backfill a column of the models, and make it NOT NULL if the models say so; its table has a primary key."""
    table = column.table
    definition = Backfill(
        table.name,
        {column.name: value.sql},
        where=f"{quote(column.name)} IS NULL",
        key=change.key(table.name, table.schema),
        schema=table.schema,
    )
    notes = [Note(GUESS)] if value.is_guess else []
    yield Step(place, f"backfill {table.name}.{column.name}", *notes, BackfillOp(definition))
    if not column.nullable:
        not_null = SetNotNullOnlineOp(table.name, column.name, schema=table.schema)
        yield Step(place, f"{table.name}.{column.name} NOT NULL", not_null)
