"""What is known of an expression without evaluating it: whether it is volatile, and which functions it calls.

Postgres gives an added column the same value in all rows without touching them, unless the value's expression is
volatile: then the table is rewritten. Functions that neither this file nor the database knows count as volatile.
"""

import tomllib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.sql.names import Node, qualified, strings
from alembic_online.sql.schema import Schema

_POSTGRES = tomllib.loads(Path(__file__).with_name("postgres.toml").read_text())
NOT_VOLATILE = frozenset(_POSTGRES["not_volatile"].split())
VOLATILE = frozenset(_POSTGRES["volatile"].split())
TYPES = frozenset(_POSTGRES["types"].split())
SERIAL = frozenset({"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"})


def functions(node: Node) -> Iterator[str]:
    """The functions that are called anywhere in the node, Postgres's own by their plain names."""
    for _, found in walk(node):
        if isinstance(found, pg.FuncCall):
            yield _plain(strings(found.funcname), NOT_VOLATILE | VOLATILE)


def opaque_functions(node: Node, schema: Schema) -> list[str]:
    """The called functions that may do anything to any table."""
    called = dict.fromkeys(functions(node))
    return [name for name in called if name not in NOT_VOLATILE | VOLATILE and schema.functions.get(name, True)]


def is_volatile(node: Node, schema: Schema) -> bool:
    """Whether the expression may have another value in each row."""
    return any(
        name in VOLATILE or (name not in NOT_VOLATILE and schema.functions.get(name, True)) for name in functions(node)
    )


def is_null(node: Node) -> bool:
    """Whether the expression is a literal NULL, possibly cast."""
    inner = unwrap_node(node)
    while isinstance(inner, pg.TypeCast):
        inner = unwrap_node(inner.arg)
    return isinstance(inner, pg.A_Const) and inner.isnull


def type_name(name: pg.TypeName) -> str:
    """The name of a type without its length or precision; Postgres's own by their plain names."""
    return _plain(strings(name.names), TYPES)


def _plain(parts: list[str], own: AbstractSet[str]) -> str:
    """The name, as in `Effect`; plain if it is one of `own`, which may include words that would be quoted."""
    if parts[0] == "pg_catalog" or (len(parts) == 1 and parts[0] in own):
        return parts[-1]
    return qualified(*parts)
