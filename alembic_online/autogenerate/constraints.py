"""Indexes and constraints that are added, dropped, or changed under the same name."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import MigrateOperation, ops

from alembic_online.autogenerate import recipes
from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.sql import table_sql
from alembic_online.autogenerate.step import Execute, Note, Place, Step
from alembic_online.compare.constraints import DropExclusion
from alembic_online.compare.differences import PrimaryKey
from alembic_online.expressions import final_name, quote, sql_of
from alembic_online.operations.constraints import (
    AddCheckOnlineOp,
    AddForeignKeyOnlineOp,
    AddUniqueOnlineOp,
    DropConstraintOnlineOp,
)
from alembic_online.operations.indexes import CreateIndexOnlineOp, DropIndexOnlineOp
from alembic_online.postgres import chosen_name, fit

SUFFIX = "_old"

Added = ops.CreateIndexOp | ops.AddConstraintOp
Removed = ops.DropIndexOp | ops.DropConstraintOp


def add(operation: Added, missing: set[str], change: ChangeContext) -> Iterator[Step]:
    """A new index or constraint of a table that is in use; those of columns that are `missing` for now, or have another
    type, wait for them.
    """
    if missing and mentions(operation, missing):
        return
    if isinstance(operation, CreateExcludeConstraintOp):
        note = recipes.exclusion(table_sql(operation.table_name, operation.schema), operation.to_constraint())
        yield Step(Place.TOGETHER, f"not yet {operation.constraint_name}", Note(note))
    elif isinstance(operation, ops.CreateIndexOp):
        index = operation.to_index()
        yield Step(Place.BUILD, f"index {index.name}", CreateIndexOnlineOp.from_index(index))
    elif isinstance(operation, ops.CreateUniqueConstraintOp):
        unique = operation.to_constraint()
        yield Step(Place.BUILD, f"unique {unique.name}", AddUniqueOnlineOp.from_constraint(unique))
    elif isinstance(operation, ops.CreateCheckConstraintOp):
        check = AddCheckOnlineOp(
            operation.constraint_name, operation.table_name, operation.condition, schema=operation.schema
        )
        yield Step(Place.BUILD, f"check {operation.constraint_name}", check)
    elif isinstance(operation, ops.CreateForeignKeyOp):
        yield refer(operation.to_constraint(), change)


def with_name(operation: MigrateOperation) -> MigrateOperation:
    """The operation; a constraint that the models give no name gets the one that Postgres would choose."""
    if isinstance(operation, ops.CreateUniqueConstraintOp) and operation.constraint_name is None:
        columns = list(operation.to_constraint().columns.keys())
        operation.constraint_name = chosen_name(operation.table_name, columns, "key")
    elif isinstance(operation, ops.CreateForeignKeyOp) and operation.constraint_name is None:
        operation.constraint_name = chosen_name(operation.source_table, operation.local_cols, "fkey")
    return operation


def refer(foreign_key: sa.ForeignKeyConstraint, change: ChangeContext) -> Step:
    """A foreign key of its own; only a comment if it refers to a primary key that is itself only described."""
    referred = foreign_key.referred_table
    name = foreign_key.name or chosen_name(foreign_key.table.name, foreign_key.column_keys, "fkey")
    target = change.model_table(referred.name, referred.schema)
    columns = {element.column.name for element in foreign_key.elements}
    if change.of(target) not in change.new and columns == set(target.primary_key.columns.keys()):
        there = [set(change.key(target.name, target.schema))]
        there += [
            set(unique["column_names"])
            for unique in change.database.get_unique_constraints(target.name, schema=target.schema)
        ]
        if columns not in there:
            note = Note(recipes.foreign_key(foreign_key.table, target, sorted(columns)))
            return Step(Place.TOGETHER, f"not yet foreign key {name}", note)
    operation = AddForeignKeyOnlineOp.from_constraint(foreign_key)
    operation.constraint_name = name
    return Step(Place.REFER, f"foreign key {name}", operation)


def change_key(difference: PrimaryKey, change: ChangeContext) -> Iterator[Step]:
    """A primary key of other columns."""
    table = difference.table
    old = change.database.get_pk_constraint(table.name, schema=table.schema)["name"]
    note = recipes.primary_key(table, difference.there, old, change.release)
    yield Step(Place.TOGETHER, f"keep the key of {table.name}", Note(note))


def remove(operation: Removed, *, is_replaced: bool) -> Iterator[Step]:
    """An index or constraint that is dropped. One that is replaced is renamed first, so that its successor can have the
    name, and is dropped once the successor exists.
    """
    if is_replaced and isinstance(operation, DropExclusion):
        return  # nothing builds its successor online: both are left to people
    old = name = name_of(operation)
    if is_replaced:
        name = fit(name, SUFFIX)
        renames = (_rename(operation, *names) for names in ((old, name), (name, old)))
        yield Step(Place.TOGETHER, f"rename {old}", Execute(*renames))
    if isinstance(operation, ops.DropIndexOp):
        index = operation.to_index()
        index.name = sa.schema.conv(name)
        place = Place.CONTRACT if index.unique else Place.DROP  # ON CONFLICT may need it
        yield Step(place, f"no index {name}", DropIndexOnlineOp.from_index(index))
    else:
        constraint = operation.to_constraint()
        constraint.name = sa.schema.conv(name)
        place = Place.LOOSEN if isinstance(constraint, sa.ForeignKeyConstraint) else Place.CONTRACT
        yield Step(place, f"no constraint {name}", DropConstraintOnlineOp.from_constraint(constraint))


def _rename(operation: Removed, old: str, new: str) -> str:
    if isinstance(operation, ops.DropIndexOp):
        schema = f"{quote(operation.schema)}." if operation.schema else ""
        return f"ALTER INDEX {schema}{quote(old)} RENAME TO {quote(new)}"
    table = table_sql(operation.table_name, operation.schema)
    return f"ALTER TABLE {table} RENAME CONSTRAINT {quote(old)} TO {quote(new)}"


def name_of(operation: Added | Removed) -> str:
    """The name of the index or the constraint, as the database has it."""
    if isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp):
        return final_name(operation.index_name)
    name: Any = getattr(operation, "constraint_name", None)
    return final_name(name)


def mentions(operation: Added, columns: set[str]) -> bool:
    """Whether the new index or constraint is about one of these columns, or may be: SQL has one of the names in it."""
    parts: list[Any]
    if isinstance(operation, ops.CreateIndexOp):
        parts = list(operation.to_index().expressions)
    elif isinstance(operation, ops.CreateCheckConstraintOp):
        parts = [operation.condition]
    else:
        constraint: Any = operation.to_constraint()
        parts = list(constraint.columns)
    texts = [getattr(part, "name", None) or (part if isinstance(part, str) else sql_of(part)) for part in parts]
    return any(column in text for column in columns for text in texts)


def columns_of(operation: Removed) -> set[str]:
    """The columns that the index or the constraint is made of."""
    if isinstance(operation, ops.DropIndexOp):
        return {str(getattr(part, "name", "")) for part in operation.to_index().expressions}
    constraint = operation.to_constraint()
    if "columns" in constraint.info:
        return set(constraint.info["columns"])
    return set(constraint.columns.keys()) if isinstance(constraint, sa.schema.ColumnCollectionConstraint) else set()
