"""DO blocks: the statements in them can be read, unless they are composed at run time."""

from collections.abc import Iterator
from typing import Any

import postgast
from postgast import PgQueryError
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

WITHOUT_QUERY = {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "PLpgSQL_stmt_call"}
ENDS_TRANSACTION = {"PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback", "PLpgSQL_stmt_call"}


class Opaque(Exception):
    """The block's text does not show what it does."""


def statements_of(block: pg.DoStmt) -> list[str]:
    """The SQL in the block; Opaque if that is not all that it does."""
    return list(_statements(_body(block)))


def may_end_transaction(block: pg.DoStmt) -> bool:
    """Whether the block has a COMMIT or a ROLLBACK, or may call what has one."""
    try:
        return any(name in ENDS_TRANSACTION for name in _names(_body(block)))
    except Opaque:
        return True


def _body(block: pg.DoStmt) -> Any:
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
        return postgast.parse_plpgsql(f"DO {quote}{text.sval}{quote}")
    except PgQueryError as error:
        raise Opaque(f"a DO block ({error})") from error


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for child in node:
            yield from _names(child)
    elif isinstance(node, dict):
        for name, child in node.items():
            yield name
            yield from _names(child)


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
