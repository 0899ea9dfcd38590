"""Constraints, added to a table in use: foreign keys, checks, unique ones."""

from collections.abc import Sequence
from typing import Any

from alembic.operations import MigrateOperation, Operations, ops
from sqlalchemy import CheckConstraint, Constraint, ForeignKeyConstraint, Index, UniqueConstraint

from alembic_online.expressions import DIALECT, as_text
from alembic_online.operations.steps import KINDS, ExistsDifferently, steps_of


@Operations.register_operation("add_foreign_key_online")
class AddForeignKeyOnlineOp(ops.CreateForeignKeyOp):
    """`op.add_foreign_key_online`."""

    @classmethod
    def add_foreign_key_online(
        cls,
        operations: Operations,
        constraint_name: str,
        source_table: str,
        referent_table: str,
        local_cols: list[str],
        remote_cols: list[str],
        **kw: Any,
    ) -> None:
        """Add a foreign key: it applies to new rows at once, and then existing rows are checked.

        The arguments are those of `op.create_foreign_key`.
        """
        operations.invoke(cls(constraint_name, source_table, referent_table, local_cols, remote_cols, **kw))

    def reverse(self) -> "DropConstraintOnlineOp":  # type: ignore[override]
        return DropConstraintOnlineOp(self.constraint_name, self.source_table, schema=self.kw.get("source_schema"))


@Operations.implementation_for(AddForeignKeyOnlineOp)
def _add_foreign_key_online(operations: Operations, operation: AddForeignKeyOnlineOp) -> None:
    with steps_of(operations, "add_foreign_key_online") as steps:
        table = steps.table(operation.source_table, operation.kw.get("source_schema"))
        referred = steps.table(operation.referent_table, operation.kw.get("referent_schema"))
        steps.add_constraint(operation.to_constraint(operations.migration_context), table, "f", referred)


@Operations.register_operation("add_check_online")
class AddCheckOnlineOp(ops.CreateCheckConstraintOp):
    """`op.add_check_online`."""

    @classmethod
    def add_check_online(
        cls, operations: Operations, constraint_name: str, table_name: str, condition: Any, *, schema: str | None = None
    ) -> None:
        """Add a check: it applies to new rows at once, and then existing rows are checked."""
        operations.invoke(cls(constraint_name, table_name, condition, schema=schema))

    def reverse(self) -> "DropConstraintOnlineOp":  # type: ignore[override]
        return DropConstraintOnlineOp(self.constraint_name, self.table_name, schema=self.schema)


@Operations.implementation_for(AddCheckOnlineOp)
def _add_check_online(operations: Operations, operation: AddCheckOnlineOp) -> None:
    with steps_of(operations, "add_check_online") as steps:
        table = steps.table(operation.table_name, operation.schema)
        steps.add_constraint(operation.to_constraint(operations.migration_context), table, "c")


@Operations.register_operation("add_unique_online")
class AddUniqueOnlineOp(ops.CreateUniqueConstraintOp):
    """`op.add_unique_online`."""

    @classmethod
    def add_unique_online(
        cls,
        operations: Operations,
        constraint_name: str,
        table_name: str,
        columns: Sequence[str],
        *,
        schema: str | None = None,
        **kw: Any,
    ) -> None:
        """Add a unique constraint on an index that is built while the table is in use.

        The arguments are those of `op.create_unique_constraint`.
        """
        operations.invoke(cls(constraint_name, table_name, columns, schema=schema, **kw))

    def reverse(self) -> "DropConstraintOnlineOp":  # type: ignore[override]
        return DropConstraintOnlineOp(self.constraint_name, self.table_name, schema=self.schema)


@Operations.implementation_for(AddUniqueOnlineOp)
def _add_unique_online(operations: Operations, operation: AddUniqueOnlineOp) -> None:
    with steps_of(operations, "add_unique_online") as steps:
        table = steps.table(operation.table_name, operation.schema)
        constraint = operation.to_constraint(operations.migration_context)
        name = steps.name_of(constraint)
        found = steps.find_constraint(table, name)
        if found and (found.kind != "u" or found.columns != list(constraint.columns.keys())):
            raise ExistsDifferently(f"the {KINDS[found.kind]} {name}", table)
        if found is None:
            steps.build_index(_unique_index(constraint), table)
            timing = "".join(
                f" {word}"
                for word, is_meant in (
                    ("DEFERRABLE", constraint.deferrable),
                    (f"INITIALLY {constraint.initially}", constraint.initially),
                )
                if is_meant
            )
            steps.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{timing}")


def _unique_index(constraint: UniqueConstraint) -> Index:
    options = {name: value for name, value in constraint.dialect_kwargs.items() if value is not None}
    name: Any = constraint.name  # not as a string: a name by the convention may have to be truncated
    return Index(name, *constraint.columns, unique=True, **options)


@Operations.register_operation("drop_constraint_online")
class DropConstraintOnlineOp(MigrateOperation):
    """`op.drop_constraint_online`."""

    def __init__(
        self,
        constraint_name: Any,
        table_name: str,
        *,
        schema: str | None = None,
        constraint: Constraint | None = None,
    ) -> None:
        self.constraint_name, self.table_name, self.schema = constraint_name, table_name, schema
        self.constraint = constraint

    @classmethod
    def from_constraint(cls, constraint: Constraint) -> "DropConstraintOnlineOp":
        """An operation that `reverse` can undo."""
        return cls(constraint.name, constraint.table.name, schema=constraint.table.schema, constraint=constraint)

    def reverse(self) -> ops.AddConstraintOp | ops.ExecuteSQLOp:
        if isinstance(self.constraint, ForeignKeyConstraint):
            return AddForeignKeyOnlineOp.from_constraint(self.constraint)
        if isinstance(self.constraint, UniqueConstraint):
            return AddUniqueOnlineOp.from_constraint(self.constraint)
        if isinstance(self.constraint, CheckConstraint):
            return AddCheckOnlineOp.from_constraint(self.constraint)
        if self.constraint is not None and "definition" in self.constraint.info:
            table, definition = self.constraint.table, self.constraint.info["definition"]
            name = DIALECT.identifier_preparer.format_constraint(self.constraint)
            table_name = DIALECT.identifier_preparer.format_table(table)
            return ops.ExecuteSQLOp(as_text(f"ALTER TABLE {table_name} ADD CONSTRAINT {name} {definition}"))
        raise ValueError(f"can't restore {self.constraint_name} of {self.table_name}: its definition is not known")

    @classmethod
    def drop_constraint_online(
        cls, operations: Operations, constraint_name: str, table_name: str, *, schema: str | None = None
    ) -> None:
        """Drop a constraint: its table, and the one it refers to, are locked for an instant."""
        operations.invoke(cls(constraint_name, table_name, schema=schema))


@Operations.implementation_for(DropConstraintOnlineOp)
def _drop_constraint_online(operations: Operations, operation: DropConstraintOnlineOp) -> None:
    with steps_of(operations, "drop_constraint_online") as steps:
        name = steps.preparer.quote(operation.constraint_name)
        table = steps.table(operation.table_name, operation.schema)
        if steps.connection is not None and not steps.find_constraint(table, name):
            # The models' naming convention makes a check's name longer than the one add_check_online was given.
            check = ops.CreateCheckConstraintOp(
                operation.constraint_name, operation.table_name, "", schema=operation.schema
            )
            name = steps.name_of(check.to_constraint(operations.migration_context))
        steps.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
