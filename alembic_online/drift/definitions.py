"""Definitions of constraints and indexes as Postgres and as SQLAlchemy write them, in one form."""

import re
from dataclasses import dataclass

# What may follow a constraint. NOT VALID is left out: `status` lists those.
OPTIONS = re.compile(
    r"MATCH FULL|ON (?:UPDATE|DELETE) (?:CASCADE|RESTRICT|SET (?:NULL|DEFAULT)(?: ?\([^)]*\))?)"
    r"|(?<!NOT )DEFERRABLE|INITIALLY DEFERRED|NO INHERIT|NOT ENFORCED"
)
_TAIL = re.compile(
    r"(?P<operator>\s+WITH\s+\S+)?(?P<order>(?:\s+(?:ASC|DESC))?(?:\s+NULLS\s+(?:FIRST|LAST))?)$", re.IGNORECASE
)
_CLASS = re.compile(r"\s+[\w.]+_ops(?:\s*\([^)]*\))?$")
_BRACKETS = {"(": 1, "[": 1, ")": -1, "]": -1}


def plain(sql: str) -> str:
    """Without quotes around names and without spaces, in which both differ."""
    return re.sub(r'"|\s', "", sql)


def constraint(definition: str) -> str:
    """A primary key, a unique constraint or a foreign key."""
    head = re.split(r" (?:MATCH|ON (?:UPDATE|DELETE)|NOT|DEFERRABLE|INITIALLY|NO INHERIT) ?", f"{definition} ")[0]
    options = OPTIONS.findall(_deferrable(definition))
    return plain(head.replace("NULLS DISTINCT", "")) + " ".join(sorted(map(plain, options)))


def _deferrable(definition: str) -> str:
    """With what INITIALLY DEFERRED implies."""
    return re.sub(r"(?<!DEFERRABLE )INITIALLY DEFERRED", "DEFERRABLE INITIALLY DEFERRED", definition)


def condition(definition: str) -> str:
    """The expression of a `CHECK (...)`."""
    start = definition.index("(")
    return definition[start + 1 : _end(definition, start)]


@dataclass(frozen=True)
class Parsed:
    """An index, or an exclusion constraint: what can be compared as text, and the expressions that can't."""

    method: str
    orders: tuple[str, ...]
    classes: tuple[str, ...]
    rest: str
    elements: tuple[str, ...]
    where: str | None


def parse(definition: str) -> Parsed:
    """`UNIQUE btree (lower(name) DESC) INCLUDE (id) WHERE (id > 1)`, or `EXCLUDE USING gist (room WITH =)`."""
    start = definition.index("(")
    end = _end(definition, start)
    rest, _, where = definition[end + 1 :].partition(" WHERE ")
    elements, orders, classes = [], [], []
    for element in _split(definition[start + 1 : end]):
        tail = _TAIL.search(element)
        assert tail is not None  # it matches the empty end, too
        rest_of_it = element[: tail.start()]
        class_ = _CLASS.search(rest_of_it)
        elements.append(rest_of_it[: class_.start()] if class_ else rest_of_it)
        classes.append(plain(class_[0]) if class_ else "")
        orders.append(plain(tail["operator"] or "") + _order(tail["order"].upper()))
    method = plain(definition[:start]).replace("EXCLUDEUSING", "").lower()
    where, after = _where(where.strip())
    options = re.sub(r"TABLESPACE \S+|NULLS DISTINCT|NOT DEFERRABLE|INITIALLY IMMEDIATE|'", "", rest + after)
    return Parsed(method, tuple(orders), tuple(classes), plain(_deferrable(options)), tuple(elements), where or None)


def _order(written: str) -> str:
    descends, first, last = "DESC" in written, "FIRST" in written, "LAST" in written
    return ("desc" if descends else "") + ("first" if first and not descends else "last" if last and descends else "")


def _where(sql: str) -> tuple[str, str]:
    """The condition, without the brackets around it; and what follows that of an exclusion constraint."""
    if sql.startswith("("):
        end = _end(sql, 0)
        after = sql[end + 1 :]
        if not after.strip() or after.lstrip().startswith(("DEFERRABLE", "INITIALLY", "NOT ")):
            return sql[1:end], after
    return sql, ""


def _end(sql: str, start: int) -> int:
    """Where the bracket that opens at `start` closes; the end of the text if it does not."""
    depth = 0
    for place, sign in _signs(sql, start):
        depth += _BRACKETS.get(sign, 0)
        if depth == 0:
            return place
    return len(sql)


def _split(sql: str) -> list[str]:
    """At the commas that are in no bracket."""
    depth, parts, start = 0, [], 0
    for place, sign in _signs(sql, 0):
        depth += _BRACKETS.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append(sql[start:place].strip())
            start = place + 1
    return [*parts, sql[start:].strip()]


def _signs(sql: str, start: int) -> list[tuple[int, str]]:
    """The brackets and commas outside of quotes, with their places."""
    outside = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()\[\],]""")
    return [(found.start(), found[0]) for found in outside.finditer(sql, start) if len(found[0]) == 1]
