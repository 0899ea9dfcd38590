"""All that differs, in words, each thing once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection

from alembic_online.drift.comparison import Difference
from alembic_online.drift.inventory import OBJECTS, Inventory, Item, read_inventory
from alembic_online.drift.models import compare_models
from alembic_online.drift.record import Change, NotRecorded, read_changes
from alembic_online.project import Project

LONGEST = 200  # definitions shown; longer ones, such as functions, are not


@dataclass(frozen=True)
class Drift:
    """What differs, and what could not be compared, with the reasons."""

    changes: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    is_recorded: bool = True
    """Whether changes by hand could be looked for."""


def find_drift(connection: Connection, project: Project) -> Drift:
    """How the schema differs from the models, and from what the last run has left."""
    try:
        there, changes = read_changes(connection, project)
    except NotRecorded as reason:
        found = compare_with_models(connection, project)
        return Drift(found.changes, [*found.not_compared, f"changes by hand: {reason}"], is_recorded=False)
    models = compare_models(connection, project.metadata, there)
    by_hand = _others(changes, models.differences)
    return Drift([*_sentences(there, models.differences), *_by_hand(there, by_hand)], models.not_compared)


def compare_with_models(connection: Connection, project: Project) -> Drift:
    """How the schema differs from the models."""
    there = read_inventory(connection, project)
    found = compare_models(connection, project.metadata, there)
    return Drift(list(_sentences(there, found.differences)), found.not_compared)


def _sentences(there: Inventory, differences: Iterable[Difference]) -> Iterator[str]:
    for item, existing, wanted in sorted((d.item, d.there, d.wanted) for d in differences):
        name = there.name(item)
        if wanted is None:
            yield f"not in the models: {name}"
        elif existing is None:
            yield f"missing: {name}"
        else:
            yield f"not as in the models: {name} is {there.short(existing)}, not {there.short(wanted)}"


def _by_hand(there: Inventory, changes: Iterable[Change]) -> Iterator[str]:
    for item, was, now in changes:
        name = there.name(item)
        if was is None or now is None:
            yield f"{'added' if was is None else 'dropped'} by hand: {name}"
        elif len(was) + len(now) > LONGEST or "\n" in was + now:
            yield f"changed by hand: {name}"
        else:
            yield f"changed by hand: {name} is {there.short(now)}, was {there.short(was)}"


def _others(changes: list[Change], differences: list[Difference]) -> list[Change]:
    """Without what is said already: of the same item, of a part of it, or of the object that it belongs to."""
    said = {(d.item.object, d.item.part) for d in differences}
    gone = {d.item.object for d in differences if d.item.kind in OBJECTS and (d.there is None or d.wanted is None)}
    gone |= {c.item.object for c in changes if c.item.kind in OBJECTS and (c.was is None or c.now is None)}
    keys = {d.item.object for d in differences if d.item.kind == "primary key"}

    def is_said(item: Item) -> bool:
        if item.kind in OBJECTS and item.object in gone:
            return any(item == difference.item for difference in differences)
        is_key = item.kind == "primary key" and item.object in keys
        return item.object in gone or (item.object, item.part) in said or is_key

    return sorted((change for change in changes if not is_said(change.item)), key=lambda change: change.item)
