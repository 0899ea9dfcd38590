"""Defaults, identities and generated columns, in place of Alembic's plugin for these.

That one fails for an identity that is to have an ordinary default, and only warns of a generated column.
"""

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult

from alembic_online.compare.differences import Generated
from alembic_online.expressions import sql_of
from alembic_online.shadow import accepts, shadow


def compare(  # noqa: PLR0913, PLR0917 - Alembic calls it
    context: AutogenContext,
    change: ops.AlterColumnOp,
    schema: str | None,  # noqa: ARG001
    table: str,  # noqa: ARG001
    column: str,  # noqa: ARG001
    existing: sa.Column[Any],
    wanted: sa.Column[Any],
) -> PriorityDispatchResult:
    """Alembic's comparator of columns."""
    there, model = existing.server_default, wanted.server_default
    change.existing_server_default = there
    if isinstance(there, sa.Computed) or isinstance(model, sa.Computed):
        return PriorityDispatchResult.CONTINUE  # compare_generated
    impl: Any = context.migration_context.impl
    if isinstance(there, sa.Identity) or isinstance(model, sa.Identity):
        if isinstance(model, sa.Identity) and isinstance(there, sa.Identity):
            differ = bool(impl._compare_identity_default(model, there)[0])  # noqa: SLF001 - which options count
        else:
            differ = True
    else:
        differ = impl.compare_server_default(existing, wanted, None, None)
    if differ:
        change.modify_server_default = model
    return PriorityDispatchResult.CONTINUE


def compare_generated(  # noqa: PLR0913, PLR0917 - Alembic calls it
    context: AutogenContext,
    changes: ops.ModifyTableOps,
    schema: str | None,  # noqa: ARG001
    name: str,  # noqa: ARG001
    existing: sa.Table | None,
    table: sa.Table | None,
) -> PriorityDispatchResult:
    """Alembic's comparator of tables: columns that are, or are to be, generated, and not so."""
    if existing is None or table is None:
        return PriorityDispatchResult.CONTINUE
    assert context.connection is not None
    for column in table.columns:
        there = existing.columns.get(column.name)
        if there is None or (column.computed is None and there.computed is None):
            continue
        if not (column.computed and there.computed and _is_same(context.connection, there, column.computed)):
            changes.ops.append(Generated(column, there))
    return PriorityDispatchResult.CONTINUE


def _is_same(connection: sa.Connection, there: sa.Column[Any], wanted: sa.Computed) -> bool:
    """Whether the expressions are the same, and both are stored, or both are not. None leaves that to Postgres."""
    assert there.computed is not None
    if wanted.persisted is not None and bool(there.computed.persisted) != wanted.persisted:
        return False
    expression, stored = sql_of(wanted.sqltext), sql_of(there.computed.sqltext)
    if expression == stored:
        return True
    quoted = connection.dialect.identifier_preparer.quote(there.name)
    type_ = there.type.compile(dialect=connection.dialect)
    with shadow(connection, there.table) as name:
        generated = f"GENERATED ALWAYS AS ({expression}) STORED"
        return (
            accepts(connection, f"ALTER TABLE {name} DROP COLUMN {quoted}, ADD COLUMN {quoted} {type_} {generated}")
            and stored
            == connection.exec_driver_sql(
                "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid"
                " AND attnum = adnum WHERE adrelid = to_regclass($1) AND attname = $2",
                (name, there.name),
            ).scalar()
        )
