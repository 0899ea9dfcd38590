"""Sequences that are set to another number."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.lint.calls import execute, expression
from alembic_online.lint.finding import Problem
from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql.names import Node, qualified, strings


def find_sequences(parsed: ParsedStatement) -> Iterator[Problem]:
    """Calls of setval() that may set a sequence back."""
    calls = (found for node in parsed.nodes for _, found in walk(node) if isinstance(found, pg.FuncCall))
    for found in calls:
        is_setting = strings(found.funcname)[-1] == "setval" and len(found.args) > 1
        if is_setting and not (_is_new(found.args[0], parsed) or _calls_nextval(found.args[1])):
            yield _problem(parsed, found)


def _problem(parsed: ParsedStatement, found: pg.FuncCall) -> Problem:
    name = _text(found.args[0])
    sequence, value = expression(found.args[0]), expression(found.args[1])
    return Problem(
        "set-sequence",
        parsed.line,
        f"may set the sequence {name or sequence} back, even to max(), which does not see the rows that others have "
        "not committed yet: then numbers come a second time, and are refused as duplicates",
        f"Set it forwards only: {execute(f'SELECT setval({sequence}, greatest(nextval({sequence}), {value}))')}",
    )


def _is_new(sequence: Node, parsed: ParsedStatement) -> bool:
    """Whether the revision has made the sequence, or the table that it belongs to."""
    inner = unwrap_node(sequence)
    if isinstance(inner, pg.FuncCall) and strings(inner.funcname)[-1] == "pg_get_serial_sequence" and inner.args:
        return _is_new(inner.args[0], parsed)
    return _text(sequence) in parsed.made


def _text(argument: Node) -> str | None:
    """The name that the argument is, if it is one."""
    inner = unwrap_node(argument)
    while isinstance(inner, pg.TypeCast):
        inner = unwrap_node(inner.arg)
    if isinstance(inner, pg.A_Const) and inner.HasField("sval"):
        return qualified(*inner.sval.sval.replace('"', "").split("."))
    return None


def _calls_nextval(argument: Node) -> bool:
    return any(
        isinstance(found, pg.FuncCall) and strings(found.funcname)[-1] == "nextval"
        for _, found in walk(unwrap_node(argument))
    )
