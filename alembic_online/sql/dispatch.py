"""Which module handles which statement."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql import attached, indexes, rows
from alembic_online.sql import new_tables as tables
from alembic_online.sql.alter_table import alter_table
from alembic_online.sql.blocks import Opaque, statements_of
from alembic_online.sql.effect import Effect, Work, unknown
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import Node, qualified, strings, table_name
from alembic_online.sql.parse import NotUnderstood, parse
from alembic_online.sql.schema import Schema


def effects_of(statement: Node, schema: Schema) -> Iterator[Effect]:
    """What a statement does to tables, one effect after the other."""
    if handler := HANDLERS.get(type(statement)):
        yield from handler(statement, schema)
    elif type(statement) not in IN_NOBODYS_WAY:
        name = _in_sql(statement)
        yield unknown(f"whatever {name} touches", f"the statement {name} is not known here")


def _block(statement: pg.DoStmt, schema: Schema) -> Iterator[Effect]:
    try:
        for sql in statements_of(statement):
            for found in parse(sql):
                yield from effects_of(found, schema)
    except (Opaque, NotUnderstood) as error:
        yield unknown("whatever the DO block touches", f"its text does not show what it does: {error}")


def _nested(statement: Any, schema: Schema) -> Iterator[Effect]:
    yield from effects_of(unwrap_node(statement.query), schema)


def _schema(statement: pg.CreateSchemaStmt, schema: Schema) -> Iterator[Effect]:
    for node in statement.schema_elts:
        yield from effects_of(unwrap_node(node), schema)


def _sequence(statement: pg.CreateSeqStmt | pg.AlterSeqStmt, _: Schema) -> Iterator[Effect]:
    if isinstance(statement, pg.AlterSeqStmt):
        why = "sessions that need numbers from the sequence wait"
        yield Effect(table_name(statement.sequence), Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, why)


def _opaque(statement: Node, _: Schema) -> Iterator[Effect]:
    if isinstance(statement, pg.CallStmt):
        called = qualified(*strings(statement.funccall.funcname))
        yield unknown(f"whatever {called}() uses", f"what the procedure {called} does is not known")
    else:
        name = _in_sql(statement)
        yield unknown(f"whatever {name} touches", f"{name} does not show what it does")


def _in_sql(statement: Node) -> str:
    """The statement's name in SQL: DROP OWNED."""
    name = type(statement).__name__.removesuffix("Stmt")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).upper()


HANDLERS: dict[type[Node], Callable[[Any, Schema], Iterator[Effect]]] = {
    pg.AlterTableStmt: alter_table,
    pg.AlterTableMoveAllStmt: tables.move_all,
    pg.CreateStmt: tables.create_table,
    pg.CreateTableAsStmt: tables.create_table_as,
    pg.ViewStmt: tables.create_view,
    pg.RefreshMatViewStmt: tables.refresh,
    pg.DropStmt: tables.drop,
    pg.RenameStmt: tables.rename,
    pg.AlterObjectSchemaStmt: tables.set_schema,
    pg.TruncateStmt: tables.truncate,
    pg.LockStmt: tables.lock,
    pg.CreateTrigStmt: attached.trigger,
    pg.RuleStmt: attached.rule,
    pg.CreatePolicyStmt: attached.policy,
    pg.AlterPolicyStmt: attached.policy,
    pg.CommentStmt: attached.comment,
    pg.SecLabelStmt: attached.comment,
    pg.CreateStatsStmt: attached.statistics,
    pg.GrantStmt: attached.grant,
    pg.CreatePublicationStmt: attached.publication,
    pg.AlterPublicationStmt: attached.publication,
    pg.AlterDomainStmt: attached.domain,
    pg.IndexStmt: indexes.create_index,
    pg.ReindexStmt: indexes.reindex,
    pg.ClusterStmt: indexes.cluster,
    pg.VacuumStmt: indexes.vacuum,
    pg.SelectStmt: rows.query,
    pg.InsertStmt: rows.query,
    pg.UpdateStmt: rows.query,
    pg.DeleteStmt: rows.query,
    pg.MergeStmt: rows.query,
    pg.CopyStmt: rows.copy,
    pg.DoStmt: _block,
    pg.ExplainStmt: _nested,
    pg.DeclareCursorStmt: _nested,
    pg.CreateSchemaStmt: _schema,
    pg.CreateSeqStmt: _sequence,
    pg.AlterSeqStmt: _sequence,
    **dict.fromkeys(
        (
            pg.CallStmt,
            pg.ExecuteStmt,
            pg.DropOwnedStmt,
            pg.ReassignOwnedStmt,
            pg.CreateExtensionStmt,
            pg.AlterExtensionStmt,
            pg.AlterTypeStmt,
            pg.FetchStmt,
        ),
        _opaque,
    ),
}
# They take no lock on a table, or none that blocks anybody.
IN_NOBODYS_WAY = {
    pg.AlterCollationStmt,
    pg.AlterDatabaseRefreshCollStmt,
    pg.AlterDatabaseSetStmt,
    pg.AlterDatabaseStmt,
    pg.AlterDefaultPrivilegesStmt,
    pg.AlterEnumStmt,
    pg.AlterEventTrigStmt,
    pg.AlterExtensionContentsStmt,
    pg.AlterFdwStmt,
    pg.AlterForeignServerStmt,
    pg.AlterFunctionStmt,
    pg.AlterObjectDependsStmt,
    pg.AlterOpFamilyStmt,
    pg.AlterOperatorStmt,
    pg.AlterOwnerStmt,
    pg.AlterRoleSetStmt,
    pg.AlterRoleStmt,
    pg.AlterStatsStmt,
    pg.AlterSubscriptionStmt,
    pg.AlterSystemStmt,
    pg.AlterTSConfigurationStmt,
    pg.AlterTSDictionaryStmt,
    pg.AlterTableSpaceOptionsStmt,
    pg.AlterUserMappingStmt,
    pg.CheckPointStmt,
    pg.ClosePortalStmt,
    pg.CompositeTypeStmt,
    pg.ConstraintsSetStmt,
    pg.CreateAmStmt,
    pg.CreateCastStmt,
    pg.CreateConversionStmt,
    pg.CreateDomainStmt,
    pg.CreateEnumStmt,
    pg.CreateEventTrigStmt,
    pg.CreateFdwStmt,
    pg.CreateForeignServerStmt,
    pg.CreateForeignTableStmt,
    pg.CreateFunctionStmt,
    pg.CreateOpClassStmt,
    pg.CreateOpFamilyStmt,
    pg.CreatePLangStmt,
    pg.CreateRangeStmt,
    pg.CreateRoleStmt,
    pg.CreateSubscriptionStmt,
    pg.CreateTableSpaceStmt,
    pg.CreateTransformStmt,
    pg.CreateUserMappingStmt,
    pg.CreatedbStmt,
    pg.DeallocateStmt,
    pg.DefineStmt,
    pg.DiscardStmt,
    pg.DropRoleStmt,
    pg.DropSubscriptionStmt,
    pg.DropTableSpaceStmt,
    pg.DropUserMappingStmt,
    pg.DropdbStmt,
    pg.GrantRoleStmt,
    pg.ImportForeignSchemaStmt,
    pg.ListenStmt,
    pg.LoadStmt,
    pg.NotifyStmt,
    pg.PrepareStmt,
    pg.TransactionStmt,
    pg.UnlistenStmt,
    pg.VariableSetStmt,
    pg.VariableShowStmt,
}
