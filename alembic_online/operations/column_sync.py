"""Two columns, an old and a new one, that are kept equal while two releases of the app are at work.

Guarantees: if a statement writes one of the two, the other gets the same value, in the same row and statement; if it
writes both, both stay as written. Neither column may have a default, because it would look like a written value.
"""

from alembic.operations import MigrateOperation, Operations

from alembic_online.operations.steps import Steps, short_name, steps_of


@Operations.register_operation("sync_columns_online")
class SyncColumnsOnlineOp(MigrateOperation):
    """`op.sync_columns_online`."""

    def __init__(self, table_name: str, old: str, new: str, *, schema: str | None = None) -> None:
        self.table_name, self.old, self.new, self.schema = table_name, old, new, schema

    @classmethod
    def sync_columns_online(
        cls, operations: Operations, table_name: str, old: str, new: str, *, schema: str | None = None
    ) -> None:
        """Keep two columns equal from now on, whichever is written; see column_sync.py."""
        operations.invoke(cls(table_name, old, new, schema=schema))

    def reverse(self) -> "UnsyncColumnsOnlineOp":
        return UnsyncColumnsOnlineOp(self.table_name, self.old, self.new, schema=self.schema)


@Operations.register_operation("unsync_columns_online")
class UnsyncColumnsOnlineOp(SyncColumnsOnlineOp):
    """`op.unsync_columns_online`."""

    @classmethod
    def unsync_columns_online(
        cls, operations: Operations, table_name: str, old: str, new: str, *, schema: str | None = None
    ) -> None:
        """End what `sync_columns_online` began: the two columns are no longer kept equal."""
        operations.invoke(cls(table_name, old, new, schema=schema))

    def reverse(self) -> SyncColumnsOnlineOp:  # type: ignore[override]
        return SyncColumnsOnlineOp(self.table_name, self.old, self.new, schema=self.schema)


@Operations.implementation_for(SyncColumnsOnlineOp)
def _sync_columns_online(operations: Operations, operation: SyncColumnsOnlineOp) -> None:
    with steps_of(operations, "sync_columns_online") as steps:
        table, name = steps.table(operation.table_name, operation.schema), _name(steps, operation)
        function, quote = _in_schema(steps, operation, name), steps.preparer.quote
        steps.execute(_function(function, quote(operation.old), quote(operation.new)))
        steps.execute(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {function}()"
        )


@Operations.implementation_for(UnsyncColumnsOnlineOp)
def _unsync_columns_online(operations: Operations, operation: UnsyncColumnsOnlineOp) -> None:
    with steps_of(operations, "unsync_columns_online") as steps:
        table, name = steps.table(operation.table_name, operation.schema), _name(steps, operation)
        steps.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        steps.execute(f"DROP FUNCTION IF EXISTS {_in_schema(steps, operation, name)}()")


def _name(steps: Steps, operation: SyncColumnsOnlineOp) -> str:
    """The name of the trigger, and of its function."""
    return steps.preparer.quote(short_name(f"sync_{operation.table_name}_{operation.old}_{operation.new}"))


def _in_schema(steps: Steps, operation: SyncColumnsOnlineOp, name: str) -> str:
    return f"{steps.preparer.quote(operation.schema)}.{name}" if operation.schema else name


def _function(name: str, old: str, new: str) -> str:
    return f"""\
CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.{new} IS NULL THEN
            NEW.{new} := NEW.{old};
        ELSIF NEW.{old} IS NULL THEN
            NEW.{old} := NEW.{new};
        END IF;
    ELSIF ROW(NEW.{new})::record *= ROW(OLD.{new})::record THEN
        IF ROW(NEW.{old})::record *<> ROW(OLD.{old})::record THEN
            NEW.{new} := NEW.{old};
        END IF;
    ELSIF ROW(NEW.{old})::record *= ROW(OLD.{old})::record THEN
        NEW.{old} := NEW.{new};
    END IF;
    RETURN NEW;
END $$"""
