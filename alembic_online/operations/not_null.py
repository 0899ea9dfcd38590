"""NOT NULL, set on a table in use."""

from alembic.operations import MigrateOperation, Operations

from alembic_online.operations.steps import Steps, short_name, steps_of


@Operations.register_operation("set_not_null_online")
class SetNotNullOnlineOp(MigrateOperation):
    """`op.set_not_null_online`."""

    def __init__(self, table_name: str, column_name: str, *, schema: str | None = None) -> None:
        self.table_name, self.column_name, self.schema = table_name, column_name, schema

    @classmethod
    def set_not_null_online(
        cls, operations: Operations, table_name: str, column_name: str, *, schema: str | None = None
    ) -> None:
        """Set a column NOT NULL: it applies to new rows at once, and then existing rows are checked."""
        operations.invoke(cls(table_name, column_name, schema=schema))

    def reverse(self) -> "DropNotNullOnlineOp":
        return DropNotNullOnlineOp(self.table_name, self.column_name, schema=self.schema)


@Operations.implementation_for(SetNotNullOnlineOp)
def _set_not_null_online(operations: Operations, operation: SetNotNullOnlineOp) -> None:
    with steps_of(operations, "set_not_null_online") as steps:
        table = steps.table(operation.table_name, operation.schema)
        column = steps.preparer.quote(operation.column_name)
        name = f"{operation.table_name}_{operation.column_name}_not_null"  # the name that Postgres itself would choose
        if steps.is_postgres_18:
            _set_not_null(steps, table, column, steps.preparer.quote(short_name(name)))
        else:
            _set_not_null_by_check(steps, table, column, steps.preparer.quote(short_name(f"{name}_proof")))


def _set_not_null(steps: Steps, table: str, column: str, name: str) -> None:
    """By a NOT NULL constraint that is validated separately, which Postgres has from 18 on."""
    found = steps.find_not_null(table, column)
    if found and found.is_validated:
        return
    if not (found and found.constraint):
        # A renamed column's constraint keeps its name. If that is this name, Postgres chooses another one.
        named = "" if steps.find_constraint(table, name) else f"CONSTRAINT {name} "
        steps.execute(f"ALTER TABLE {table} ADD {named}NOT NULL {column} NOT VALID")
        found = steps.find_not_null(table, column)
    if found and found.constraint:
        name = steps.preparer.quote(found.constraint)
    steps.validate(table, name)


def _set_not_null_by_check(steps: Steps, table: str, column: str, name: str) -> None:
    """By a check that is validated first: it proves that there is no NULL, so SET NOT NULL scans nothing."""
    found = steps.find_not_null(table, column)
    check = steps.find_constraint(table, name)
    if not (found and found.is_set):
        if check is None:
            steps.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID")
        if check is None or not check.is_validated:
            steps.validate(table, name)
        steps.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
    elif check is None:
        return
    # Not in the same statement: Postgres would drop the proof first, and scan the table.
    steps.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")


@Operations.register_operation("drop_not_null_online")
class DropNotNullOnlineOp(MigrateOperation):
    """`op.drop_not_null_online`."""

    def __init__(self, table_name: str, column_name: str, *, schema: str | None = None) -> None:
        self.table_name, self.column_name, self.schema = table_name, column_name, schema

    @classmethod
    def drop_not_null_online(
        cls, operations: Operations, table_name: str, column_name: str, *, schema: str | None = None
    ) -> None:
        """Allow NULL in a column: the table is locked for an instant."""
        operations.invoke(cls(table_name, column_name, schema=schema))

    def reverse(self) -> SetNotNullOnlineOp:
        return SetNotNullOnlineOp(self.table_name, self.column_name, schema=self.schema)


@Operations.implementation_for(DropNotNullOnlineOp)
def _drop_not_null_online(operations: Operations, operation: DropNotNullOnlineOp) -> None:
    with steps_of(operations, "drop_not_null_online") as steps:
        table = steps.table(operation.table_name, operation.schema)
        column = steps.preparer.quote(operation.column_name)
        steps.execute(f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")
