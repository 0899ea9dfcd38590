"""Indexes, built and dropped while their table is in use."""

from collections.abc import Sequence
from typing import Any

from alembic.operations import Operations, ops

from alembic_online.operations.steps import steps_of


@Operations.register_operation("create_index_online")
class CreateIndexOnlineOp(ops.CreateIndexOp):
    """`op.create_index_online`."""

    @classmethod
    def create_index_online(
        cls,
        operations: Operations,
        index_name: str,
        table_name: str,
        columns: Sequence[Any],
        *,
        schema: str | None = None,
        unique: bool = False,
        **kw: Any,
    ) -> None:
        """Build an index while the table is in use; the arguments are those of `op.create_index`."""
        operations.invoke(cls(index_name, table_name, columns, schema=schema, unique=unique, **kw))

    def reverse(self) -> "DropIndexOnlineOp":
        return DropIndexOnlineOp(self.index_name or "", self.table_name, schema=self.schema, _reverse=self)


@Operations.implementation_for(CreateIndexOnlineOp)
def _create_index_online(operations: Operations, operation: CreateIndexOnlineOp) -> None:
    with steps_of(operations, "create_index_online") as steps:
        table = steps.table(operation.table_name, operation.schema)
        steps.build_index(operation.to_index(operations.migration_context), table)


@Operations.register_operation("drop_index_online")
class DropIndexOnlineOp(ops.DropIndexOp):
    """`op.drop_index_online`."""

    def reverse(self) -> CreateIndexOnlineOp:
        created = CreateIndexOnlineOp.from_index(self.to_index())
        assert isinstance(created, CreateIndexOnlineOp)
        return created

    @classmethod
    def drop_index_online(
        cls, operations: Operations, index_name: str, table_name: str, *, schema: str | None = None
    ) -> None:
        """Drop an index without a lock that blocks reads or writes of its table."""
        operations.invoke(cls(index_name, table_name, schema=schema))


@Operations.implementation_for(DropIndexOnlineOp)
def _drop_index_online(operations: Operations, operation: DropIndexOnlineOp) -> None:
    with steps_of(operations, "drop_index_online") as steps:
        index = operation.to_index(operations.migration_context)
        index.dialect_options["postgresql"]["concurrently"] = True
        steps.impl.drop_index(index, if_exists=True)
