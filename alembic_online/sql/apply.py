"""What the schema is after a statement, as far as the effects of those that come after it depend on that."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import postgast
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.mutable_schema import Draft, type_in_sql
from alembic_online.sql.names import Parsed, object_name, qualified, quote, strings, table_name
from alembic_online.sql.schema import Schema


def after(sql: str, schema: Schema) -> Schema:
    """The schema, when these statements have been carried out on it."""
    for found in postgast.parse(sql).stmts:
        schema = after_statement(unwrap_node(found.stmt), schema)
    return schema


def after_statement(statement: Parsed, schema: Schema) -> Schema:
    """The schema, when this statement has been carried out on it."""
    if change := CHANGES.get(type(statement)):
        draft = Draft.of(schema)
        change(statement, draft)
        return replace(schema, **{**vars(draft), "foreign_keys": tuple(draft.foreign_keys)})
    return schema


def _create_table(statement: pg.CreateStmt, draft: Draft) -> None:
    table = table_name(statement.relation)
    if table in draft.columns:
        return  # IF NOT EXISTS
    draft.columns[table] = {}
    for element in map(unwrap_node, statement.table_elts):
        if isinstance(element, pg.ColumnDef):
            draft.add_column(table, element)
        elif isinstance(element, pg.Constraint):
            draft.add_constraint(table, element)


def _alter_table(statement: pg.AlterTableStmt, draft: Draft) -> None:
    table = table_name(statement.relation)
    for command in map(unwrap_node, statement.cmds):
        if change := SUBCOMMANDS.get(command.subtype):
            change(draft, table, command, unwrap_node(getattr(command, "def")))


def _add_column(draft: Draft, table: str, _: pg.AlterTableCmd, column: pg.ColumnDef) -> None:
    if column.colname not in draft.columns.get(table, {}):
        draft.add_column(table, column)


def _alter_type(draft: Draft, table: str, command: pg.AlterTableCmd, column: pg.ColumnDef) -> None:
    draft.columns.setdefault(table, {})[command.name] = type_in_sql(column.type_name)


def _create_index(statement: pg.IndexStmt, draft: Draft) -> None:
    if statement.idxname:
        index = qualified(statement.relation.schemaname, statement.idxname)
        draft.indexes.setdefault(index, table_name(statement.relation))


def _drop(statement: pg.DropStmt, draft: Draft) -> None:
    for name in map(object_name, statement.objects):
        if statement.remove_type == pg.OBJECT_INDEX:
            draft.indexes.pop(name, None)
        elif statement.remove_type == pg.OBJECT_TABLE:
            draft.drop_table(name)


def _rename(statement: pg.RenameStmt, draft: Draft) -> None:
    name = table_name(statement.relation)
    renamed = qualified(statement.relation.schemaname, statement.newname)
    if statement.rename_type == pg.OBJECT_COLUMN:
        draft.rename_column(name, statement.subname, statement.newname)
    elif statement.rename_type == pg.OBJECT_TABLE:
        draft.rename_table(name, renamed)
    elif statement.rename_type == pg.OBJECT_INDEX and name in draft.indexes:
        draft.indexes[renamed] = draft.indexes.pop(name)


def _set_schema(statement: pg.AlterObjectSchemaStmt, draft: Draft) -> None:
    if statement.object_type == pg.OBJECT_TABLE:
        table, moved = table_name(statement.relation), qualified(statement.newschema, statement.relation.relname)
        old, new = table.removesuffix(quote(statement.relation.relname)), qualified(statement.newschema, "")
        draft.rename_table(table, moved)
        draft.indexes = {
            new.removesuffix('""') + index.removeprefix(old) if of == moved else index: of
            for index, of in draft.indexes.items()
        }


def _create_domain(statement: pg.CreateDomainStmt, draft: Draft) -> None:
    kinds = {node.constraint.contype for node in statement.constraints}
    draft.domains[qualified(*strings(statement.domainname))] = bool(kinds & {pg.CONSTR_CHECK, pg.CONSTR_NOTNULL})


SUBCOMMANDS: dict[int, Callable[[Draft, str, Any, Any], None]] = {
    pg.AT_AddColumn: _add_column,
    pg.AT_AlterColumnType: _alter_type,
    pg.AT_DropColumn: lambda draft, table, command, _: draft.drop_column(table, command.name),
    pg.AT_AddConstraint: lambda draft, table, _, constraint: draft.add_constraint(table, constraint),
    pg.AT_DropConstraint: lambda draft, table, command, _: draft.drop_constraint(table, command.name),
    pg.AT_ValidateConstraint: lambda draft, table, command, _: draft.validate(table, command.name),
    pg.AT_SetNotNull: lambda draft, table, command, _: draft.not_null.add((table, command.name)),
    pg.AT_DropNotNull: lambda draft, table, command, _: draft.drop_not_null(table, command.name),
}
CHANGES: dict[type[Parsed], Callable[[Any, Draft], None]] = {
    pg.CreateStmt: _create_table,
    pg.AlterTableStmt: _alter_table,
    pg.IndexStmt: _create_index,
    pg.DropStmt: _drop,
    pg.RenameStmt: _rename,
    pg.AlterObjectSchemaStmt: _set_schema,
    pg.CreateDomainStmt: _create_domain,
}
