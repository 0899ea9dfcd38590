"""The constraints and indexes of a table, compared with those of its model."""

from collections.abc import Mapping, Sequence

from alembic_online.drift.comparison import Comparison
from alembic_online.drift.definitions import condition, constraint, parse, plain
from alembic_online.drift.expressions import Pair
from alembic_online.drift.wanted import WantedPart, WantedTable

KINDS = ("primary key", "unique constraint", "foreign key", "check constraint", "exclusion constraint", "index")


def compare_parts(found: Comparison, table: WantedTable, kind: str, there: Mapping[str, str]) -> None:
    """Those of one kind; `there` has the definitions of the existing ones by name.

    One that the model does not name is found by what it says. The name of a primary key does not matter.
    """
    wanted = [part for part in table.parts if part.kind == kind]
    left = dict(there)
    unnamed = []
    for part in wanted:
        name = next(iter(left), "") if kind == "primary key" else part.name
        if name is None:
            unnamed.append(part)
        elif name in left:
            existing = left.pop(name)
            pairs = _differing(part, existing, table.source)
            if pairs is None or pairs:
                found.differ(kind, table.name, name, part.definition, pairs or ())
        else:
            found.differ(kind, table.name, name, part.definition)
    _compare_unnamed(found, table, unnamed, left)
    for name in left:
        found.differ(kind, table.name, name, None)


def _compare_unnamed(found: Comparison, table: WantedTable, wanted: Sequence[WantedPart], left: dict[str, str]) -> None:
    """Takes those that are found out of `left`: equal ones first, then those that Postgres has to decide about."""
    unsure = []
    for part in wanted:
        equal = next((name for name, there in left.items() if _differing(part, there, table.source) == []), None)
        if equal is None:
            unsure.append(part)
        else:
            del left[equal]
    for part in unsure:
        like = next((name for name, there in left.items() if _differing(part, there, table.source)), None)
        if like is None:
            found.differ(part.kind, table.name, "", part.definition)
        else:
            found.differ(part.kind, table.name, like, part.definition, _differing(part, left.pop(like), table.source) or ())


def _differing(part: WantedPart, there: str, source: str) -> list[Pair] | None:
    """The expressions that are not the same text; None if it is something else that differs."""
    if "'" not in there and plain(part.definition) == plain(there):
        return []
    if part.kind == "check constraint":
        expressions = [(condition(part.definition), condition(there))]
    elif part.kind in {"index", "exclusion constraint"}:
        wanted, existing = parse(part.definition), parse(there)
        # Postgres leaves out a class that is the default.
        classes = [each or ours for each, ours in zip(existing.classes, wanted.classes, strict=False)]
        if (wanted.method, wanted.orders, wanted.rest, list(wanted.classes)) != (
            existing.method, existing.orders, existing.rest, classes,
        ) or (wanted.where is None) != (existing.where is None):  # fmt: skip
            return None
        expressions = list(zip(wanted.elements, existing.elements, strict=True))
        expressions += [(wanted.where, existing.where)] if wanted.where and existing.where else []
    else:
        return [] if constraint(part.definition) == constraint(there) else None
    return [Pair(ours, theirs, source) for ours, theirs in expressions if _bare(ours) != _bare(theirs)]


def _bare(expression: str) -> str:
    """Without brackets around the whole of it."""
    text = expression.strip()
    while text.startswith("(") and condition(text) == text[1:-1]:
        text = text[1:-1].strip()
    return plain(text) if "'" not in text else text
