"""What the schema is after a statement, as far as effects of the statements after it depend on that."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import postgast
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from migrator.effects.names import Parsed, object_name, qualified, strings, table_name
from migrator.effects.schema import ForeignKey, Schema


@dataclass
class _Draft:
    """A schema under change."""

    columns: dict[str, dict[str, str]]
    indexes: dict[str, str]
    foreign_keys: list[ForeignKey]
    never_null: set[tuple[str, str]]
    unproven: dict[tuple[str, str], str]
    checked: set[tuple[str, str]]
    domains: dict[str, bool] = field(default_factory=dict)


def after(sql: str, schema: Schema) -> Schema:
    """The schema, when these statements have been carried out on it."""
    draft = _Draft(
        {table: dict(columns) for table, columns in schema.columns.items()},
        dict(schema.indexes),
        list(schema.foreign_keys),
        set(schema.never_null),
        dict(schema.unproven),
        set(schema.checked),
        dict(schema.domains),
    )
    for found in postgast.parse(sql).stmts:
        statement = unwrap_node(found.stmt)
        if change := CHANGES.get(type(statement)):
            change(statement, draft)
    return replace(schema, **{**vars(draft), "foreign_keys": tuple(draft.foreign_keys)})


def _create_table(statement: pg.CreateStmt, draft: _Draft) -> None:
    table = table_name(statement.relation)
    if table in draft.columns:
        return  # IF NOT EXISTS
    draft.columns[table] = {}
    for element in map(unwrap_node, statement.table_elts):
        if isinstance(element, pg.ColumnDef):
            _add_column(table, element, draft)
        elif isinstance(element, pg.Constraint):
            _add_constraint(table, element, draft)


def _alter_table(statement: pg.AlterTableStmt, draft: _Draft) -> None:
    for command in map(unwrap_node, statement.cmds):
        assert isinstance(command, pg.AlterTableCmd)
        if change := SUBCOMMANDS.get(command.subtype):
            change(table_name(statement.relation), command, unwrap_node(getattr(command, "def")), draft)


def _add(table: str, _: pg.AlterTableCmd, column: pg.ColumnDef, draft: _Draft) -> None:
    if column.colname not in draft.columns.get(table, {}):
        _add_column(table, column, draft)


def _alter_type(table: str, command: pg.AlterTableCmd, column: pg.ColumnDef, draft: _Draft) -> None:
    draft.columns.setdefault(table, {})[command.name] = _type(column.type_name)


def _drop_column(table: str, command: pg.AlterTableCmd, _: Parsed, draft: _Draft) -> None:
    draft.columns.get(table, {}).pop(command.name, None)
    draft.foreign_keys[:] = [key for key in draft.foreign_keys if key.table != table or command.name not in key.columns]


def _constrain(table: str, _: pg.AlterTableCmd, constraint: pg.Constraint, draft: _Draft) -> None:
    _add_constraint(table, constraint, draft)


def _drop_constraint(table: str, command: pg.AlterTableCmd, _: Parsed, draft: _Draft) -> None:
    draft.unproven.pop((table, command.name), None)
    draft.foreign_keys[:] = [key for key in draft.foreign_keys if (key.table, key.name) != (table, command.name)]


def _validate(table: str, command: pg.AlterTableCmd, _: Parsed, draft: _Draft) -> None:
    if column := draft.unproven.pop((table, command.name), None):
        draft.never_null.add((table, column))


def _set_not_null(table: str, command: pg.AlterTableCmd, _: Parsed, draft: _Draft) -> None:
    draft.never_null.add((table, command.name))


def _drop_not_null(table: str, command: pg.AlterTableCmd, _: Parsed, draft: _Draft) -> None:
    draft.never_null.discard((table, command.name))


def _add_column(table: str, column: pg.ColumnDef, draft: _Draft) -> None:
    draft.columns.setdefault(table, {})[column.colname] = _type(column.type_name)
    for constraint in map(unwrap_node, column.constraints):
        assert isinstance(constraint, pg.Constraint)
        _add_constraint(table, constraint, draft, column.colname)


def _add_constraint(table: str, constraint: pg.Constraint, draft: _Draft, column: str = "") -> None:
    columns = tuple(strings(constraint.fk_attrs) or strings(constraint.keys)) or (column,)
    if constraint.contype == pg.CONSTR_FOREIGN:
        referred, others = table_name(constraint.pktable), tuple(strings(constraint.pk_attrs))
        changes = constraint.fk_del_action in set("cnd")
        key = ForeignKey(constraint.conname, table, columns, referred, others, changes, constraint.is_enforced)
        draft.foreign_keys.append(key)
    elif constraint.contype in {pg.CONSTR_PRIMARY, pg.CONSTR_NOTNULL} and not constraint.skip_validation:
        draft.never_null |= {(table, name) for name in columns}
    elif constraint.contype == pg.CONSTR_NOTNULL:
        draft.unproven[table, constraint.conname] = columns[0]
    elif constraint.contype == pg.CONSTR_CHECK and (proven := _never_null(constraint.raw_expr)):
        if constraint.skip_validation:
            draft.unproven[table, constraint.conname] = proven
        else:
            draft.never_null.add((table, proven))


def _never_null(condition: Parsed) -> str | None:
    """The column that this condition says is never NULL, where it is `column IS NOT NULL`."""
    test = unwrap_node(condition)
    if not isinstance(test, pg.NullTest) or test.nulltesttype != pg.IS_NOT_NULL:
        return None
    column = unwrap_node(test.arg)
    return strings(column.fields)[-1] if isinstance(column, pg.ColumnRef) and strings(column.fields) else None


def _type(name: pg.TypeName) -> str:
    """The type, in SQL."""
    statement = postgast.parse("SELECT NULL::int")
    statement.stmts[0].stmt.select_stmt.target_list[0].res_target.val.type_cast.type_name.CopyFrom(name)
    return str(postgast.deparse(statement)).split("::", 1)[1]


def _create_index(statement: pg.IndexStmt, draft: _Draft) -> None:
    if statement.idxname:
        draft.indexes[qualified(statement.relation.schemaname, statement.idxname)] = table_name(statement.relation)


def _drop(statement: pg.DropStmt, draft: _Draft) -> None:
    names = [object_name(node) for node in statement.objects]
    if statement.remove_type == pg.OBJECT_INDEX:
        for name in names:
            draft.indexes.pop(name, None)
    elif statement.remove_type == pg.OBJECT_TABLE:
        for name in names:
            draft.columns.pop(name, None)
        draft.foreign_keys[:] = [key for key in draft.foreign_keys if not {key.table, key.referred} & set(names)]


def _rename(statement: pg.RenameStmt, draft: _Draft) -> None:
    table = table_name(statement.relation)
    if statement.rename_type == pg.OBJECT_COLUMN and statement.subname in (columns := draft.columns.get(table, {})):
        columns[statement.newname] = columns.pop(statement.subname)
        if (table, statement.subname) in draft.never_null:
            draft.never_null.add((table, statement.newname))
    elif statement.rename_type == pg.OBJECT_TABLE and table in draft.columns:
        _rename_table(table, qualified(statement.relation.schemaname, statement.newname), draft)
    elif statement.rename_type == pg.OBJECT_INDEX and table in draft.indexes:
        draft.indexes[qualified(statement.relation.schemaname, statement.newname)] = draft.indexes.pop(table)


def _set_schema(statement: pg.AlterObjectSchemaStmt, draft: _Draft) -> None:
    table = table_name(statement.relation)
    if statement.object_type == pg.OBJECT_TABLE and table in draft.columns:
        _rename_table(table, qualified(statement.newschema, statement.relation.relname), draft)


def _rename_table(old: str, new: str, draft: _Draft) -> None:
    draft.columns[new] = draft.columns.pop(old)
    draft.never_null |= {(new, column) for table, column in draft.never_null if table == old}
    draft.checked |= {(new, column) for table, column in draft.checked if table == old}
    for name, table in draft.indexes.items():
        draft.indexes[name] = new if table == old else table
    draft.foreign_keys[:] = [
        replace(
            key,
            table=new if key.table == old else key.table,
            referred=new if key.referred == old else key.referred,
        )
        for key in draft.foreign_keys
    ]


def _create_domain(statement: pg.CreateDomainStmt, draft: _Draft) -> None:
    kinds = {node.constraint.contype for node in statement.constraints}
    draft.domains[qualified(*strings(statement.domainname))] = bool(kinds & {pg.CONSTR_CHECK, pg.CONSTR_NOTNULL})


SUBCOMMANDS: dict[int, Callable[[str, pg.AlterTableCmd, Any, _Draft], None]] = {
    pg.AT_AddColumn: _add,
    pg.AT_AlterColumnType: _alter_type,
    pg.AT_DropColumn: _drop_column,
    pg.AT_AddConstraint: _constrain,
    pg.AT_DropConstraint: _drop_constraint,
    pg.AT_ValidateConstraint: _validate,
    pg.AT_SetNotNull: _set_not_null,
    pg.AT_DropNotNull: _drop_not_null,
}
CHANGES: dict[type[Parsed], Callable[[Any, _Draft], None]] = {
    pg.CreateStmt: _create_table,
    pg.AlterTableStmt: _alter_table,
    pg.IndexStmt: _create_index,
    pg.DropStmt: _drop,
    pg.RenameStmt: _rename,
    pg.AlterObjectSchemaStmt: _set_schema,
    pg.CreateDomainStmt: _create_domain,
}
