"""Whether an UPDATE or DELETE names the rows that it changes, each by its key, as in WHERE id = 1."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.names import Node, strings


def names_rows(statement: pg.UpdateStmt | pg.DeleteStmt, keys: AbstractSet[frozenset[str]]) -> bool:
    """Whether its condition gives each column of one of the keys a value, or a list of values."""
    others = statement.from_clause if isinstance(statement, pg.UpdateStmt) else statement.using_clause
    relation = statement.relation
    target = relation.alias.aliasname if relation.HasField("alias") else relation.relname
    given = set(_given(statement.where_clause, target, is_alone=not others))
    return any(key <= given for key in keys)


def _given(condition: pg.Node, target: str, *, is_alone: bool) -> Iterator[str]:
    """The columns of `target` that have to be equal to a value."""
    found = unwrap_node(condition)
    if isinstance(found, pg.BoolExpr) and found.boolop == pg.AND_EXPR:
        for part in found.args:
            yield from _given(part, target, is_alone=is_alone)
    elif isinstance(found, pg.A_Expr) and found.kind in {pg.AEXPR_OP, pg.AEXPR_IN} and strings(found.name) == ["="]:
        sides = unwrap_node(found.lexpr), unwrap_node(found.rexpr)
        for column, value in (sides, sides[::-1]):
            if isinstance(column, pg.ColumnRef) and _is_value(value):
                *table, name = strings(column.fields)
                if table[-1:] == [target] or (is_alone and not table):
                    yield name


def _is_value(node: Node) -> bool:
    if isinstance(node, pg.TypeCast):
        return _is_value(unwrap_node(node.arg))
    if isinstance(node, pg.List):
        return all(_is_value(unwrap_node(item)) for item in node.items)
    return isinstance(node, pg.A_Const)
