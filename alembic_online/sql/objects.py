"""Objects of the database in words, with their kind: "the view named_animals", "the trigger touch of staff"."""

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.names import Node, object_parts, qualified, quote

# Kinds whose names in the parser's enum are not words.
KINDS = {
    pg.OBJECT_MATVIEW: "materialized view",
    pg.OBJECT_OPCLASS: "operator class",
    pg.OBJECT_OPFAMILY: "operator family",
    pg.OBJECT_FDW: "foreign data wrapper",
    pg.OBJECT_FOREIGN_SERVER: "server",
    pg.OBJECT_TSCONFIGURATION: "text search configuration",
    pg.OBJECT_TSDICTIONARY: "text search dictionary",
    pg.OBJECT_TSPARSER: "text search parser",
    pg.OBJECT_TSTEMPLATE: "text search template",
    pg.OBJECT_STATISTIC_EXT: "statistics",
    pg.OBJECT_LARGEOBJECT: "large object",
    pg.OBJECT_TABCONSTRAINT: "constraint",
    pg.OBJECT_DOMCONSTRAINT: "constraint",
}
ON_TABLE = {pg.OBJECT_TRIGGER: "trigger", pg.OBJECT_RULE: "rule", pg.OBJECT_POLICY: "policy"}
OF_ACCESS_METHOD = {pg.OBJECT_OPCLASS, pg.OBJECT_OPFAMILY}


def kind_of(kind: int) -> str:
    """The kind of an object, in words: "table", "operator class"."""
    return KINDS.get(kind) or pg.ObjectType.Name(kind).removeprefix("OBJECT_").lower().replace("_", " ")


def object_of(kind: int, node: Node) -> str:
    """The object of this kind that `node` names."""
    inner = unwrap_node(node)
    if isinstance(inner, pg.Integer):
        return f"the {kind_of(kind)} {inner.ival}"
    if isinstance(inner, pg.RangeVar):
        return named(kind, inner.schemaname, inner.relname)
    parts = object_parts(node)
    if kind == pg.OBJECT_CAST:
        return "the cast from {} to {}".format(*map(_type, inner.items))
    if kind == pg.OBJECT_TRANSFORM:
        return f"the transform for {_type(inner.items[0])} in {parts[-1]}"
    if kind == pg.OBJECT_OPERATOR:
        return f"the operator {'.'.join(parts)}"
    return named(kind, *(parts[1:] if kind in OF_ACCESS_METHOD else parts))


def _type(node: Node) -> str:
    """The type's name; Postgres's own without its schema."""
    return qualified(*(part for part in object_parts(node) if part != "pg_catalog"))


def named(kind: int, *parts: str) -> str:
    """The object with a name of these parts; of a trigger and the like, the table comes first."""
    if kind in ON_TABLE:
        return f"the {ON_TABLE[kind]} {quote(parts[-1])} of {qualified(*parts[:-1])}"
    return f"the {kind_of(kind)} {qualified(*parts)}"
