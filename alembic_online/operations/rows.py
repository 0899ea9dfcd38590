"""Rows, changed in small batches."""

from collections.abc import Sequence

from alembic.operations import MigrateOperation, Operations

from alembic_online.backfill import Backfill, finish, offline_sql, run_backfill
from alembic_online.operations.steps import steps_of


@Operations.register_operation("backfill")
class BackfillOp(MigrateOperation):
    """`op.backfill`."""

    def __init__(self, definition: Backfill) -> None:
        self.definition = definition

    @classmethod
    def backfill(
        cls,
        operations: Operations,
        table_name: str,
        values: dict[str, str],
        *,
        where: str | None = None,
        key: Sequence[str] = ("id",),
        schema: str | None = None,
    ) -> None:
        """Set columns of existing rows to SQL expressions, in batches in the order of `key`; see backfill/.

        `values` maps columns to expressions, `where` is a condition in SQL.
        """
        operations.invoke(cls(Backfill(table_name, values, where=where, key=tuple(key), schema=schema)))


@Operations.implementation_for(BackfillOp)
def _backfill(operations: Operations, operation: BackfillOp) -> None:
    with steps_of(operations, "backfill") as steps:
        connection = steps.connection
        if connection is None:
            steps.execute(offline_sql(operation.definition))
            return
        state = run_backfill(operations.migration_context, operation.definition)
    finish(connection, state)
