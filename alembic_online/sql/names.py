"""Names of tables and the rest, as `regclass` prints them while `public` is in the search path."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import postgast
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

Node = Any
"""A node of a parse tree: protobuf has no common type for them."""
PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@lru_cache
def quote(name: str) -> str:
    """The name, quoted where it has to be."""
    if PLAIN.fullmatch(name):
        (token,) = postgast.scan(name).tokens
        if token.keyword_kind in {pg.NO_KEYWORD, pg.UNRESERVED_KEYWORD}:
            return name
    return '"{}"'.format(name.replace('"', '""'))


def qualified(*parts: str) -> str:
    """A name of these parts: schema and name, or the name alone."""
    *schema, name = parts
    return ".".join(quote(part) for part in (*(part for part in schema[-1:] if part not in {"", "public"}), name))


def table_name(relation: pg.RangeVar) -> str:
    """The relation's name."""
    return qualified(relation.schemaname, relation.relname)


def written_name(relation: pg.RangeVar) -> str:
    """The relation's name for `to_regclass`, with the schema that the statement names, if any, and always quoted."""
    parts = (relation.schemaname, relation.relname)
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts if part)


def relations(nodes: Iterable[Node]) -> list[str]:
    """The names of the nodes that are relations."""
    return [table_name(node) for node in map(unwrap_node, nodes) if isinstance(node, pg.RangeVar)]


def strings(nodes: Iterable[Node]) -> list[str]:
    """The parts of a name, as the parser gives them."""
    return [part.sval for part in map(unwrap_node, nodes) if isinstance(part, pg.String)]


def object_name(node: Node) -> str:
    """The name of an object in a DROP, COMMENT or the like: a string, or a list of them."""
    return qualified(*object_parts(node))


def object_parts(node: Node) -> list[str]:
    """The parts of the name of an object, not quoted."""
    inner = unwrap_node(node)
    if isinstance(inner, pg.String):
        return [inner.sval]
    if isinstance(inner, pg.List):  # of strings; of a cast or transform, of types
        return [part for item in inner.items for part in (strings([item]) or object_parts(item)[-1:])]
    if isinstance(inner, pg.TypeName):
        return strings(inner.names)
    return strings(inner.objname) if isinstance(inner, pg.ObjectWithArgs) else [""]
