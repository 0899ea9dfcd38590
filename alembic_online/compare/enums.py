"""Values of enum types. Alembic compares no types that columns share."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from sqlalchemy.dialects.postgresql.base import PGInspector
from sqlalchemy.sql.type_api import TypeEngine

from alembic_online.compare.differences import EnumValues
from alembic_online.expressions import string_sql


def compare(context: AutogenContext, changes: ops.UpgradeOps, _: set[str | None]) -> PriorityDispatchResult:
    """Alembic's comparator of schemas: types that exist with other values."""
    inspector = context.inspector
    assert isinstance(inspector, PGInspector)
    wanted = {
        (type_.schema or inspector.default_schema_name, type_.name): type_
        for table in context.sorted_tables
        for column in table.columns
        if (type_ := enum_of(column.type))
    }
    if wanted:
        for found in inspector.get_enums(schema="*"):
            type_ = wanted.get((found["schema"], found["name"]))
            if type_ is not None and list(type_.enums) != found["labels"]:
                changes.ops.append(EnumValues(type_, found["labels"]))
    return PriorityDispatchResult.CONTINUE


def enum_of(type_: TypeEngine[Any]) -> sa.Enum | None:
    """The enum type of Postgres that this is, or that it is an array of."""
    inner = type_.item_type if isinstance(type_, sa.ARRAY) else type_
    return inner if isinstance(inner, sa.Enum) and inner.native_enum else None


def added(there: list[str], wanted: list[str]) -> Iterator[tuple[str, str]]:
    """The values to add, each with its place: after the one before it in the models, or else before all others."""
    for number, value in enumerate(wanted):
        if value not in there:
            yield value, f"AFTER {string_sql(wanted[number - 1])}" if number else f"BEFORE {string_sql(there[0])}"
