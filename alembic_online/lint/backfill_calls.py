"""Calls of `op.backfill` that do the same as an UPDATE, or a part of one."""

from types import EllipsisType
from typing import Any

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.lint.calls import call, columns_in, expression, relation_of, sql_of
from alembic_online.sql import Schema
from alembic_online.sql.expressions import is_volatile


def fill(table: pg.RangeVar, values: Any, where: Any = None) -> str:
    """`op.backfill`."""
    return call("backfill", table.relname, values, where=where, schema=table.schemaname)


def fill_table(name: str) -> str:
    """`op.backfill` of a table, when no more of the change is known."""
    return fill(relation_of(name), ...)


def backfill(update: pg.UpdateStmt) -> str:
    """`op.backfill`, for an UPDATE. Reads of other tables become subqueries."""
    node = pg.UpdateStmt()
    node.CopyFrom(update)
    is_clear = _use_own_name(node)
    targets = [unwrap_node(target) for target in node.target_list]
    sets = [target for target in targets if isinstance(target, pg.ResTarget)]
    is_by_cursor = node.where_clause.HasField("current_of_expr")
    if not is_clear or is_by_cursor or node.HasField("with_clause") or any(target.indirection for target in sets):
        return fill(node.relation, ...)
    values = {target.name: _value(node, target) for target in sets}
    return fill(node.relation, values, _condition(node, sets))


def _use_own_name(node: pg.UpdateStmt) -> bool:
    """Replace the table's alias by its name, because a backfill has no alias.

    False if that name already means something else: the same table a second time.
    """
    own, alias = node.relation.relname, node.relation.alias.aliasname
    for _, found in walk(node):
        if alias and isinstance(found, pg.ColumnRef) and len(found.fields) > 1:
            first = unwrap_node(found.fields[0])
            if isinstance(first, pg.String) and first.sval == alias:
                first.sval = own
    read = (found for _, found in walk(node) if isinstance(found, pg.RangeVar) and not found.alias.aliasname)
    return not alias or all(found.relname != own for found in read)


def _value(node: pg.UpdateStmt, target: pg.ResTarget) -> str | EllipsisType:
    if target.val.HasField("multi_assign_ref") or target.val.HasField("set_to_default"):
        return ...
    if not node.from_clause:
        return expression(target.val)
    return f"({sql_of(_select(node, [pg.Node(res_target=pg.ResTarget(val=target.val))]))})"


def _condition(node: pg.UpdateStmt, sets: list[pg.ResTarget]) -> Any:
    """Which rows; `...` if there is no condition, and repeating it changes more: `n + 1`, `random()`."""
    if node.from_clause:
        return f"EXISTS ({sql_of(_select(node, []))})"
    if node.HasField("where_clause"):
        return expression(node.where_clause)
    names = {target.name for target in sets}
    is_another = any(names & set(columns_in(target.val)) or is_volatile(target.val, Schema()) for target in sets)
    return ... if is_another else None


def _select(node: pg.UpdateStmt, targets: list[pg.Node]) -> pg.SelectStmt:
    made = pg.SelectStmt(target_list=targets, from_clause=node.from_clause)
    if node.HasField("where_clause"):
        made.where_clause.CopyFrom(node.where_clause)
    return made
