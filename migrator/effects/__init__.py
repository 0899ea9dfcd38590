"""What a SQL statement does to the tables that exist: which locks it takes, and whether it reads or rewrites them.

Guarantee: never a silent "nothing". What can't be known is assumed to be the worst, and what can't be seen is said to
be unknown. A `Schema`, read from the database, makes both rarer.

Not seen are triggers that people wrote, which a change of rows may fire.

effect         Effect, Work: what one statement does to one table
lock           Postgres's table locks, and which of them conflict
schema         what the database knows, and a statement does not show
alter_table    ALTER TABLE, subcommand by subcommand
constraints    added, validated and dropped
types          which changes of a column's type rewrite the table
expressions    which defaults are volatile
indexes        CREATE, DROP and REINDEX; VACUUM and CLUSTER
tables         the other statements on tables, and on what hangs on them
rows           INSERT, UPDATE, DELETE, MERGE, COPY, SELECT
blocks         the statements in a DO block
"""

from collections.abc import Callable, Iterator
from typing import Any

import postgast
from postgast import PgQueryError
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from migrator.effects import indexes, rows, tables
from migrator.effects.alter_table import alter_table
from migrator.effects.blocks import Opaque, statements_of
from migrator.effects.effect import Effect, Work, strongest, unknown
from migrator.effects.lock import Lock
from migrator.effects.names import Parsed, object_name, qualified, table_name
from migrator.effects.schema import ForeignKey, Schema

__all__ = [
    "Effect",
    "ForeignKey",
    "Lock",
    "NotUnderstood",
    "Schema",
    "Work",
    "created_tables",
    "dropped_tables",
    "find_effects",
    "renamed_tables",
]

NOTHING_KNOWN = Schema()


class NotUnderstood(Exception):
    """Not SQL that Postgres 18 would parse."""


def find_effects(sql: str, schema: Schema = NOTHING_KNOWN) -> list[Effect]:
    """What the statement, or the statements, do to tables that exist: one effect a table; NotUnderstood.

    What is done to a table that one of the statements creates is none.
    """
    found: list[Effect] = []
    new: set[str] = set()
    for statement in _parse(sql):
        found += [effect for effect in _effects(statement, schema) if effect.table not in new]
        new |= set(_created(statement))
    return strongest(found)


def created_tables(sql: str) -> list[str]:
    """The tables and views that the statements create, in their order; also where they say IF NOT EXISTS."""
    return [name for statement in _parse(sql) for name in _created(statement)]


def dropped_tables(sql: str) -> list[str]:
    """The tables that the statements drop, in their order."""
    return [
        object_name(node)
        for statement in _parse(sql)
        if isinstance(statement, pg.DropStmt) and statement.remove_type == pg.OBJECT_TABLE
        for node in statement.objects
    ]


def renamed_tables(sql: str) -> dict[str, str]:
    """The tables that get another name, or another schema: the old name, and the new one."""
    renamed = {}
    for statement in _parse(sql):
        if isinstance(statement, pg.RenameStmt) and statement.rename_type == pg.OBJECT_TABLE:
            renamed[table_name(statement.relation)] = qualified(statement.relation.schemaname, statement.newname)
        if isinstance(statement, pg.AlterObjectSchemaStmt) and statement.object_type == pg.OBJECT_TABLE:
            renamed[table_name(statement.relation)] = qualified(statement.newschema, statement.relation.relname)
    return renamed


def _parse(sql: str) -> list[Parsed]:
    try:
        return [unwrap_node(statement.stmt) for statement in postgast.parse(sql).stmts]
    except PgQueryError as error:
        raise NotUnderstood(f"not understood: {error}") from error


def _created(statement: Parsed) -> Iterator[str]:
    if isinstance(statement, pg.CreateStmt):
        yield table_name(statement.relation)
    elif isinstance(statement, pg.CreateForeignTableStmt):
        yield table_name(statement.base_stmt.relation)
    elif isinstance(statement, pg.CreateTableAsStmt):
        yield table_name(statement.into.rel)
    elif isinstance(statement, pg.ViewStmt):
        yield table_name(statement.view)
    elif isinstance(statement, pg.CreateSeqStmt):
        yield table_name(statement.sequence)
    elif isinstance(statement, pg.SelectStmt) and statement.HasField("into_clause"):
        yield table_name(statement.into_clause.rel)


def _effects(statement: Parsed, schema: Schema) -> Iterator[Effect]:
    if handler := HANDLERS.get(type(statement)):
        yield from handler(statement, schema)
    elif type(statement) not in IN_NOBODYS_WAY:
        name = type(statement).__name__.removesuffix("Stmt")
        yield unknown(f"whatever {name} touches", f"the statement {name} is not known here")


def _block(statement: pg.DoStmt, schema: Schema) -> Iterator[Effect]:
    try:
        for sql in statements_of(statement):
            yield from find_effects(sql, schema)
    except (Opaque, NotUnderstood) as error:
        yield unknown("whatever the DO block touches", f"what it does can't be told from its text: {error}")


def _nested(statement: Any, schema: Schema) -> Iterator[Effect]:
    yield from _effects(unwrap_node(statement.query), schema)


def _schema(statement: pg.CreateSchemaStmt, schema: Schema) -> Iterator[Effect]:
    for node in statement.schema_elts:
        yield from _effects(unwrap_node(node), schema)


def _sequence(statement: pg.CreateSeqStmt | pg.AlterSeqStmt, _: Schema) -> Iterator[Effect]:
    if isinstance(statement, pg.AlterSeqStmt):
        why = "whoever takes numbers from the sequence waits"
        yield Effect(table_name(statement.sequence), Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, why)


def _opaque(statement: Parsed, _: Schema) -> Iterator[Effect]:
    name = type(statement).__name__.removesuffix("Stmt")
    yield unknown(f"whatever {name} touches", f"the statement {name} can't be seen into")


HANDLERS: dict[type[Parsed], Callable[[Any, Schema], Iterator[Effect]]] = {
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
    pg.CreateTrigStmt: tables.trigger,
    pg.RuleStmt: tables.rule,
    pg.CreatePolicyStmt: tables.policy,
    pg.AlterPolicyStmt: tables.policy,
    pg.CommentStmt: tables.comment,
    pg.SecLabelStmt: tables.comment,
    pg.CreateStatsStmt: tables.statistics,
    pg.GrantStmt: tables.grant,
    pg.CreatePublicationStmt: tables.publication,
    pg.AlterPublicationStmt: tables.publication,
    pg.AlterDomainStmt: tables.domain,
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
# They take no lock on a table, or none that anybody waits for.
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
