"""Calls of online operations that do the same as a statement, or a part of one."""

from collections.abc import Iterable
from typing import Any

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.calls import (
    alter_table,
    as_text,
    call,
    columns_in,
    execute,
    expression,
    final,
    name_of,
    sql_of,
    text,
)
from alembic_online.operations.steps import ACTIONS
from alembic_online.sql.names import quote, strings

ACTION = {letter: action for action, letter in ACTIONS.items() if letter != "a"}


def create_index(node: pg.IndexStmt) -> str:
    """`op.create_index_online`, for CREATE INDEX."""
    parts = [unwrap_node(part) for part in node.index_params]
    columns = [part.name or "expression" for part in parts if isinstance(part, pg.IndexElem)]
    return call(
        "create_index_online",
        node.idxname or name_of("ix", node.relation.relname, *columns),
        node.relation.relname,
        [_index_part(part) for part in node.index_params],
        schema=node.relation.schemaname,
        unique=node.unique,
        postgresql_using="" if node.access_method == "btree" else node.access_method,
        postgresql_include=_index_columns(node.index_including_params),
        postgresql_nulls_not_distinct=node.nulls_not_distinct,
        postgresql_tablespace=node.table_space,
        postgresql_with=_storage(node.options),
        postgresql_where=text(expression(node.where_clause)) if node.HasField("where_clause") else None,
    )


def drop_indexes(node: pg.DropStmt) -> str:
    """`op.drop_index_online`, for each index of DROP INDEX, which does not name the table."""
    named = [strings(unwrap_node(dropped).items) for dropped in node.objects]
    return " and ".join(call("drop_index_online", parts[-1], ..., schema="".join(parts[-2:-1])) for parts in named)


def add_constraint(table: pg.RangeVar, constraint: pg.Constraint, column: str = "") -> str:
    """`op.add_foreign_key_online` and so on; `column` is the constraint's, if it is a column constraint."""
    return {
        pg.CONSTR_FOREIGN: _add_foreign_key,
        pg.CONSTR_CHECK: _add_check,
        pg.CONSTR_UNIQUE: _add_unique,
    }[constraint.contype](table, constraint, column)


def add_primary_key(table: pg.RangeVar, constraint: pg.Constraint, column: str = "") -> list[str]:
    """The three kinds of steps that a primary key takes."""
    columns = [column] if column else strings(constraint.keys)
    name = constraint.conname or name_of("pk", table.relname)
    index = call(
        "create_index_online",
        name,
        table.relname,
        columns,
        schema=table.schemaname,
        unique=True,
        postgresql_include=strings(constraint.including),
    )
    key = pg.Constraint(contype=pg.CONSTR_PRIMARY, conname=name, indexname=name, is_enforced=True)
    key.deferrable, key.initdeferred = constraint.deferrable, constraint.initdeferred
    using = alter_table(table, pg.AT_AddConstraint, **{"def": pg.Node(constraint=key)})
    return [index, *(set_not_null(table, each) for each in columns), execute(using)]


def set_not_null(table: pg.RangeVar, column: str) -> str:
    """`op.set_not_null_online`."""
    return call("set_not_null_online", table.relname, column, schema=table.schemaname)


def drop_constraint(table: pg.RangeVar, name: str) -> str:
    """`op.drop_constraint_online`."""
    return call("drop_constraint_online", name, table.relname, schema=table.schemaname)


def sync_columns(table: pg.RangeVar, old: Any, new: Any) -> str:
    """`op.sync_columns_online`."""
    return call("sync_columns_online", table.relname, old, new, schema=table.schemaname)


def unsync_columns(table: pg.RangeVar, old: str, new: str) -> str:
    """`op.unsync_columns_online`."""
    return call("unsync_columns_online", table.relname, old, new, schema=table.schemaname)


def set_default(table: pg.RangeVar, column: str, default: str) -> str:
    """`op.alter_column(..., server_default=...)`, which applies to new rows only."""
    return call("alter_column", table.relname, column, server_default=text(default), schema=table.schemaname)


def add_column(table: pg.RangeVar, column: pg.ColumnDef) -> str:
    """ALTER TABLE ... ADD COLUMN, in SQL, because every type has a name there."""
    return execute(alter_table(table, pg.AT_AddColumn, **{"def": pg.Node(column_def=column)}))


def _add_foreign_key(table: pg.RangeVar, constraint: pg.Constraint, column: str) -> str:
    columns = [column] if column else strings(constraint.fk_attrs)
    referred = constraint.pktable
    set_columns = ", ".join(map(quote, strings(constraint.fk_del_set_cols)))
    on_delete = ACTION.get(constraint.fk_del_action, "") + (f" ({set_columns})" if set_columns else "")
    return call(
        "add_foreign_key_online",
        constraint.conname or name_of("fk", table.relname, *columns, referred.relname),
        table.relname,
        referred.relname,
        columns,
        strings(constraint.pk_attrs) or [...],  # the referred table's primary key, whose columns are not given
        source_schema=table.schemaname,
        referent_schema=referred.schemaname,
        onupdate=ACTION.get(constraint.fk_upd_action),
        ondelete=on_delete,
        match="FULL" if constraint.fk_matchtype == "f" else None,
        **_timing(constraint),
    )


def _add_check(table: pg.RangeVar, constraint: pg.Constraint, _: str) -> str:
    name = constraint.conname or name_of("ck", table.relname, *columns_in(constraint.raw_expr))
    return call(
        "add_check_online",
        final(name),
        table.relname,
        as_text(expression(constraint.raw_expr)),
        schema=table.schemaname,
    )


def _add_unique(table: pg.RangeVar, constraint: pg.Constraint, column: str) -> str:
    columns = [column] if column else strings(constraint.keys)
    return call(
        "add_unique_online",
        constraint.conname or name_of("uq", table.relname, *columns),
        table.relname,
        columns,
        schema=table.schemaname,
        postgresql_include=strings(constraint.including),
        postgresql_nulls_not_distinct=constraint.nulls_not_distinct,
        **_timing(constraint),
    )


def _timing(constraint: pg.Constraint) -> dict[str, Any]:
    return {
        "deferrable": constraint.deferrable,
        "initially": "DEFERRED" if constraint.initdeferred else None,
    }


def _index_columns(parts: Iterable[pg.Node]) -> list[str]:
    return [part.name for part in map(unwrap_node, parts) if isinstance(part, pg.IndexElem)]


def _storage(options: Iterable[pg.Node]) -> dict[str, Any]:
    """The options in WITH (...); `...` for those that are not numbers."""
    said = {each.defname: unwrap_node(each.arg) for each in map(unwrap_node, options) if isinstance(each, pg.DefElem)}
    return {name: value.ival if isinstance(value, pg.Integer) else ... for name, value in said.items()}


def _index_part(part: pg.Node) -> Any:
    """A column's name; SQL, if the part is more than that."""
    alone = pg.IndexStmt(relation=pg.RangeVar(relname="t", inh=True), access_method="btree", index_params=[part])
    sql = sql_of(alone)
    written = sql[sql.index("(") + 1 : -1]
    name = part.index_elem.name
    return name if written == quote(name) else text(written)
