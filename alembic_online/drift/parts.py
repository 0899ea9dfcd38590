"""The constraints and indexes of a table, compared with those of its model."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from alembic_online.drift.comparison import Comparison
from alembic_online.drift.definitions import condition, constraint, parse, plain
from alembic_online.drift.expressions import Pair, compare
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
            pairs = differing(found.connection, part, existing, table.source)
            if pairs is None or pairs:
                found.differ(kind, table.name, name, part.definition, pairs or ())
        else:
            found.differ(kind, table.name, name, part.definition)
    _compare_unnamed(found, table, unnamed, left)
    for name in left:
        found.differ(kind, table.name, name, None)


def _compare_unnamed(found: Comparison, table: WantedTable, wanted: Sequence[WantedPart], left: dict[str, str]) -> None:
    """Takes those that are found out of `left`: equal ones first, then those that Postgres takes for equal."""
    unsure = []
    for part in wanted:
        if (equal := _find(found, part, left, lambda pairs: not pairs, table.source)) is None:
            unsure.append(part)
        else:
            del left[equal]
    changed = []
    for part in unsure:
        same = _find(found, part, left, lambda pairs: are_same(found.connection, pairs), table.source)
        if same is None:
            changed.append(part)
        else:
            del left[same]
    for part in changed:
        like = _find(found, part, left, lambda _: True, table.source)
        unless = [] if like is None else differing(found.connection, part, left.pop(like), table.source)
        found.differ(part.kind, table.name, like or "", part.definition, unless or ())


def _find(
    found: Comparison, part: WantedPart, there: Mapping[str, str], is_it: Callable[[list[Pair]], bool], source: str
) -> str | None:
    """The first of these whose expressions that differ are as asked."""
    pairs = {name: differing(found.connection, part, definition, source) for name, definition in there.items()}
    return next((name for name, each in pairs.items() if each is not None and is_it(each)), None)


def are_same(connection: Connection, pairs: Sequence[Pair]) -> bool:
    """Whether each of the pairs is the same to Postgres."""
    return all(each is True for each in compare(connection, pairs))


def differing(connection: Connection, part: WantedPart, there: str, source: str) -> list[Pair] | None:
    """The expressions that are not the same text; None if it is something else that differs."""
    if "'" not in there and plain(part.definition) == plain(there):
        return []
    if part.kind == "check constraint":
        expressions = [(condition(part.definition), condition(there))]
    elif part.kind in {"index", "exclusion constraint"}:
        wanted, existing = parse(part.definition), parse(there)
        classes = [
            ours if not each and ours and _is_default(connection, wanted.method, ours) else each
            for each, ours in zip(existing.classes, wanted.classes, strict=False)
        ]
        if (wanted.method, wanted.orders, wanted.rest, list(wanted.classes)) != (
            existing.method, existing.orders, existing.rest, classes,
        ) or (wanted.where is None) != (existing.where is None):  # fmt: skip
            return None
        expressions = list(zip(wanted.elements, existing.elements, strict=True))
        expressions += [(wanted.where, existing.where)] if wanted.where and existing.where else []
    else:
        return [] if constraint(part.definition) == constraint(there) else None
    return [Pair(ours, theirs, source) for ours, theirs in expressions if _bare(ours) != _bare(theirs)]


def _is_default(connection: Connection, method: str, class_: str) -> bool:
    """Whether Postgres leaves out this operator class, because it is the default of a type."""
    found = connection.exec_driver_sql(
        "SELECT bool_or(opcdefault) FROM pg_opclass JOIN pg_am ON pg_am.oid = opcmethod"
        " WHERE amname = $1 AND opcname = $2",
        (method.removeprefix("unique"), class_.rpartition(".")[2]),
    )
    return bool(found.scalar())


def _bare(expression: str) -> str:
    """Without brackets around the whole of it."""
    text = expression.strip()
    while text.startswith("(") and condition(text) == text[1:-1]:
        text = text[1:-1].strip()
    return plain(text) if "'" not in text else text
