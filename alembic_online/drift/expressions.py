"""Whether two expressions are the same to Postgres: its planner shows both, parsed and simplified.

EXPLAIN executes nothing, so a volatile default is not computed, and no type needs an operator: `'{}'` and
`'{}'::json` become the same text as defaults of a json column, `a IN ('x', 'y')` and `a = ANY (ARRAY['x', 'y'])` as
conditions.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

AT_ONCE = 200  # pairs in one statement
_OF_NULL = re.compile(r"^(?:NULL|\(NULL::.*\))::")  # of a domain, Postgres shows the type below it, too
_NOW = re.compile(r"\bCURRENT_TIMESTAMP\b(?!\()")  # Postgres's other name for now()


class NotComparable(Exception):
    """Postgres refuses one of the expressions; the message is its reason."""


@dataclass(frozen=True)
class Pair:
    """Two expressions; `source` is the table, as SQL, whose columns they use, if any."""

    wanted: str
    there: str
    source: str | None = None

    def select(self, number: int) -> str:
        """A query whose plan shows both."""
        end = f" FROM {self.source}" if self.source else ""
        return f"SELECT ROW({self.wanted}\n), ROW({self.there}\n), {number}{end}"


def compare(connection: Connection, pairs: Sequence[Pair]) -> list[bool | NotComparable]:
    """Of each pair, whether both are the same. The number of statements is one for each 200 of them."""
    distinct = list(dict.fromkeys(pairs))  # a thousand tables have few defaults
    found: list[bool | NotComparable] = []
    for start in range(0, len(distinct), AT_ONCE):
        found += _compare(connection, distinct[start : start + AT_ONCE])
    answers = dict(zip(distinct, found, strict=True))
    return [answers[pair] for pair in pairs]


def _compare(connection: Connection, pairs: Sequence[Pair]) -> list[bool | NotComparable]:
    try:
        return _explain(connection, pairs)
    except NotComparable as reason:
        if len(pairs) == 1:
            return [reason]
    middle = len(pairs) // 2
    return _compare(connection, pairs[:middle]) + _compare(connection, pairs[middle:])


def _explain(connection: Connection, pairs: Sequence[Pair]) -> list[bool | NotComparable]:
    selects = " UNION ALL ".join(pair.select(number) for number, pair in enumerate(pairs))
    same: dict[int, bool] = {}
    for output in _outputs(plan(connection, selects)):
        if len(output) == len(("wanted", "there", "number")) and output[2].isdecimal():
            wanted, there = (_NOW.sub("now()", text) for text in output[:2])
            same.setdefault(int(output[2]), wanted == there)
    missing = NotComparable("Postgres does not show it")
    return [same.get(number, missing) for number in range(len(pairs))]


def plan(connection: Connection, select: str) -> Any:
    """The plan of a query; NotComparable if Postgres refuses it, with everything as before."""
    try:
        with connection.begin_nested():
            found = connection.exec_driver_sql(f"EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) {select}").scalar_one()
    except DBAPIError as error:
        if connection.invalidated:
            raise
        raise NotComparable(str(error.orig).rpartition(">: ")[2].splitlines()[0]) from error
    return json.loads(found) if isinstance(found, str) else found


def _outputs(found: Any) -> Iterator[list[str]]:
    """What each part of the plan puts out."""
    if isinstance(found, list):
        for part in found:
            yield from _outputs(part)
    elif isinstance(found, dict):
        if "Output" in found:
            yield found["Output"]
        for key in ("Plan", "Plans"):
            yield from _outputs(found.get(key))


def type_names(connection: Connection, types: Sequence[str]) -> dict[str, str | NotComparable]:
    """The name that Postgres has for each type: `character varying(20)` for `VARCHAR(20)`."""
    if not types:
        return {}
    try:
        (output,) = _outputs(plan(connection, f"SELECT {', '.join(f'NULL::{type_}' for type_ in types)}"))
    except NotComparable as reason:
        if len(types) == 1:
            return {types[0]: reason}
        middle = len(types) // 2
        return type_names(connection, types[:middle]) | type_names(connection, types[middle:])
    return {type_: _OF_NULL.sub("", shown) for type_, shown in zip(types, output, strict=True)}
