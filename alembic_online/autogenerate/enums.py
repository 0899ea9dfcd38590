"""Enum types whose values change."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from alembic_online.autogenerate import recipes
from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.sql import table_sql
from alembic_online.autogenerate.step import Execute, Note, Place, Step
from alembic_online.compare.differences import EnumValues
from alembic_online.compare.enums import added, enum_of
from alembic_online.expressions import string_sql

STAYS = "The value stays, and harms nobody: Postgres can't drop a value of an enum type."


def change(difference: EnumValues, change: ChangeContext) -> Iterator[Step]:
    """Add the values that are new. Those that are gone stay, because rows may have them."""
    type_, there = difference.type, difference.there
    name = table_sql(str(type_.name), type_.schema)
    for value, place in added(there, type_.enums):
        statement = f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {string_sql(value)} {place}"
        yield Step(Place.VALUES, f"{type_.name} {value}", Execute(statement, Note(STAYS)))
    if lost := [value for value in there if value not in type_.enums]:
        note = Note(recipes.enum_values(str(type_.name), lost, list(_users(type_, change)), change.release))
        yield Step(Place.TOGETHER, f"keep values of {type_.name}", note)
    elif [value for value in type_.enums if value in there] != there:
        yield Step(Place.TOGETHER, f"keep order of {type_.name}", Note(recipes.enum_order(str(type_.name), there)))


def _users(type_: sa.Enum, change: ChangeContext) -> Iterator[sa.Column[Any]]:
    """The columns of the type, or of an array of it."""
    wanted = change.within(type_.schema, str(type_.name))
    for table in change.models.sorted_tables:
        for column in table.columns:
            found = enum_of(column.type)
            if found is not None and change.within(found.schema, str(found.name)) == wanted:
                yield column
