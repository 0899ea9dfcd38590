"""The schema after a statement, as far as the effects of later statements depend on it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.mutable_schema import MutableSchema, type_in_sql
from alembic_online.sql.names import Node, object_name, qualified, quote, relations, strings, table_name
from alembic_online.sql.parse import parse
from alembic_online.sql.schema import Schema


def after(sql: str, schema: Schema) -> Schema:
    """The schema after these statements."""
    for statement in parse(sql):
        schema = after_statement(statement, schema)
    return schema


def after_statement(statement: Node, schema: Schema) -> Schema:
    """The schema after this statement."""
    if change := CHANGES.get(type(statement)):
        mutable = MutableSchema.of(schema)
        change(statement, mutable)
        return replace(schema, **{**vars(mutable), "foreign_keys": tuple(mutable.foreign_keys)})
    return schema


def _create_table(statement: pg.CreateStmt, mutable: MutableSchema) -> None:
    table = table_name(statement.relation)
    if table in mutable.columns:
        return  # IF NOT EXISTS
    mutable.columns[table] = {}
    for parent in relations(statement.inh_relations):
        mutable.inherit(table, parent)
    for element in map(unwrap_node, statement.table_elts):
        if isinstance(element, pg.ColumnDef):
            mutable.add_column(table, element)
        elif isinstance(element, pg.Constraint):
            mutable.add_constraint(table, element)


def _alter_table(statement: pg.AlterTableStmt, mutable: MutableSchema) -> None:
    table = table_name(statement.relation)
    for command in map(unwrap_node, statement.cmds):
        if change := SUBCOMMANDS.get(command.subtype):
            change(mutable, table, command, unwrap_node(getattr(command, "def")))


def _add_column(mutable: MutableSchema, table: str, _: pg.AlterTableCmd, column: pg.ColumnDef) -> None:
    if column.colname not in mutable.columns.get(table, {}):
        mutable.add_column(table, column)


def _alter_type(mutable: MutableSchema, table: str, command: pg.AlterTableCmd, column: pg.ColumnDef) -> None:
    mutable.columns.setdefault(table, {})[command.name] = type_in_sql(column)


def _create_index(statement: pg.IndexStmt, mutable: MutableSchema) -> None:
    if statement.idxname:
        index = qualified(statement.relation.schemaname, statement.idxname)
        mutable.indexes.setdefault(index, table_name(statement.relation))


def _drop(statement: pg.DropStmt, mutable: MutableSchema) -> None:
    for name in map(object_name, statement.objects):
        if statement.remove_type == pg.OBJECT_INDEX:
            mutable.drop_index(name)
        elif statement.remove_type == pg.OBJECT_TABLE:
            mutable.drop_table(name)


def _rename(statement: pg.RenameStmt, mutable: MutableSchema) -> None:
    name = table_name(statement.relation)
    renamed = qualified(statement.relation.schemaname, statement.newname)
    if statement.rename_type == pg.OBJECT_COLUMN:
        mutable.rename_column(name, statement.subname, statement.newname)
    elif statement.rename_type == pg.OBJECT_TABLE:
        mutable.rename_table(name, renamed)
    elif statement.rename_type == pg.OBJECT_INDEX and name in mutable.indexes:
        mutable.indexes[renamed] = mutable.indexes.pop(name)


def _set_schema(statement: pg.AlterObjectSchemaStmt, mutable: MutableSchema) -> None:
    if statement.object_type == pg.OBJECT_TABLE:
        table, moved = table_name(statement.relation), qualified(statement.newschema, statement.relation.relname)
        old, new = table.removesuffix(quote(statement.relation.relname)), qualified(statement.newschema, "")
        mutable.rename_table(table, moved)
        mutable.indexes = {
            new.removesuffix('""') + index.removeprefix(old) if of == moved else index: of
            for index, of in mutable.indexes.items()
        }


def _create_domain(statement: pg.CreateDomainStmt, mutable: MutableSchema) -> None:
    kinds = {node.constraint.contype for node in statement.constraints}
    mutable.domains[qualified(*strings(statement.domainname))] = bool(kinds & {pg.CONSTR_CHECK, pg.CONSTR_NOTNULL})


SUBCOMMANDS: dict[int, Callable[[MutableSchema, str, Any, Any], None]] = {
    pg.AT_AddColumn: _add_column,
    pg.AT_AlterColumnType: _alter_type,
    pg.AT_DropColumn: lambda mutable, table, command, _: mutable.drop_column(table, command.name),
    pg.AT_AddConstraint: lambda mutable, table, _, constraint: mutable.add_constraint(table, constraint),
    pg.AT_DropConstraint: lambda mutable, table, command, _: mutable.drop_constraint(table, command.name),
    pg.AT_ValidateConstraint: lambda mutable, table, command, _: mutable.validate(table, command.name),
    pg.AT_SetNotNull: lambda mutable, table, command, _: mutable.not_null.add((table, command.name)),
    pg.AT_DropNotNull: lambda mutable, table, command, _: mutable.drop_not_null(table, command.name),
}
CHANGES: dict[type[Node], Callable[[Any, MutableSchema], None]] = {
    pg.CreateStmt: _create_table,
    pg.AlterTableStmt: _alter_table,
    pg.IndexStmt: _create_index,
    pg.DropStmt: _drop,
    pg.RenameStmt: _rename,
    pg.AlterObjectSchemaStmt: _set_schema,
    pg.CreateDomainStmt: _create_domain,
}
