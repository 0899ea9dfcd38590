"""Primary keys, which Alembic does not compare."""

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult

from alembic_online.compare.differences import PrimaryKey


def compare(  # noqa: PLR0913, PLR0917 - Alembic calls it
    context: AutogenContext,  # noqa: ARG001
    changes: ops.ModifyTableOps,
    schema: str | None,  # noqa: ARG001
    name: str,  # noqa: ARG001
    existing: sa.Table | None,
    table: sa.Table | None,
) -> PriorityDispatchResult:
    """Alembic's comparator of tables: a key of other columns, or in another order."""
    if existing is not None and table is not None:
        there, wanted = (tuple(column.name for column in each.primary_key) for each in (existing, table))
        if there != wanted:
            changes.ops.append(PrimaryKey(table, there))
    return PriorityDispatchResult.CONTINUE
