"""DO blocks: the statements in them can be read, unless they are composed at run time."""

from collections.abc import Iterator
from typing import Any

import postgast
from postgast import PgQueryError
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

WITHOUT_QUERY = {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "PLpgSQL_stmt_call"}
EXPRESSION = 2  # PL/pgSQL's parse mode of expressions without SELECT


class Opaque(Exception):
    """The block's text does not show what it does."""


def statements_of(block: pg.DoStmt) -> list[str]:
    """The SQL in the block; Opaque if that is not all that it does."""
    arguments = {found.defname: found.arg for found in map(unwrap_node, block.args) if isinstance(found, pg.DefElem)}
    language = unwrap_node(arguments["language"]) if "language" in arguments else None
    if isinstance(language, pg.String) and language.sval.lower() != "plpgsql":
        raise Opaque(f"a DO block in {language.sval}")
    text = unwrap_node(arguments["as"])
    assert isinstance(text, pg.String)
    quote = "$migrator$"
    if quote in text.sval:
        raise Opaque("a DO block")
    try:
        body = postgast.parse_plpgsql(f"DO {quote}{text.sval}{quote}")
    except PgQueryError as error:
        raise Opaque(f"a DO block ({error})") from error
    return list(_statements(body))


def _statements(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _statements(child)
    elif isinstance(node, dict):
        for name, child in node.items():
            if name in WITHOUT_QUERY:
                raise Opaque("a DO block with EXECUTE")
            if name == "PLpgSQL_expr":
                # An expression is a SELECT without that word; an assignment has its target in front.
                mode = child.get("parseMode", 0)
                yield child["query"] if mode == 0 else f"SELECT {child['query'].split(':=', 1)[-1]}"
            else:
                yield from _statements(child)
