"""The difference of two schemas."""

import difflib
import re

CONTEXT_LINES = 2
_BODY = re.compile(r"\A(CREATE (?:UNLOGGED )?TABLE [^\n]*\(\n)(.*?)(\n\).*)\Z", re.DOTALL)


def difference(before: list[str], after: list[str], names: tuple[str, str]) -> str:
    """A unified diff of two schemas, as pg_dump writes them; empty if they are the same.

    The order of a table's columns is ignored: a column that was dropped and added again is the last one.
    """
    first, second = (
        [line for statement in statements for line in (*_ordered(statement).splitlines(), "")]
        for statements in (before, after)
    )
    return "\n".join(difflib.unified_diff(first, second, *names, n=CONTEXT_LINES, lineterm=""))


def _ordered(statement: str) -> str:
    found = _BODY.match(statement)
    if found is None:
        return statement
    lines = sorted(line.removesuffix(",") for line in found[2].splitlines())
    return found[1] + "\n".join(lines) + found[3]
