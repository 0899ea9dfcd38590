"""An effect: what a statement does to one table."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from alembic_online.sql.lock import Lock


class Work(StrEnum):
    """What is done to a table while its lock is held, the gravest last."""

    NONE = "none"
    """Only the catalogs are changed: an instant, however large the table is."""
    ADD_ROWS = "add rows"
    """Rows are added, which others don't see yet."""
    ONE_ROW = "one row"
    """One row, or a few, are changed or deleted: those that the statement lists by their key."""
    SCAN = "scan"
    """The whole table is read."""
    ROWS = "rows"
    """Existing rows that match a condition are changed or deleted, and locked until the commit."""
    ALL_ROWS = "all rows"
    """All rows are changed or deleted, and locked until the commit."""
    BUILD = "build"
    """An index is built: the whole table is read and sorted."""
    REWRITE = "rewrite"
    """The table is rewritten, with all of its indexes."""
    UNKNOWN = "unknown"
    """The statement does not show it."""

    @property
    def weight(self) -> int:
        """Its place in the order of gravity."""
        return list(Work).index(self)


@dataclass(frozen=True)
class Effect:
    """What a statement does to a table.

    `table` is as `regclass` prints it while `public` is in the search path: quoted where it has to be, and without
    `public.`. A table that the statement does not name is described in parentheses: "(the table of index ix_name)".
    `lock` is the strongest lock on the table or on one of its indexes, which the planner needs for every query. `why`
    is one clause.
    """

    table: str
    lock: Lock
    work: Work
    why: str

    @property
    def is_named(self) -> bool:
        """Whether `table` is a name, not a description in parentheses."""
        return not self.table.startswith("(")


def unknown(what: str, why: str) -> Effect:
    """The gravest effect, for work that the statement does not show: `what` describes the tables."""
    return Effect(f"({what})", Lock.ACCESS_EXCLUSIVE, Work.UNKNOWN, why)


def strongest(effects: Iterable[Effect]) -> list[Effect]:
    """One effect per table, in the order of first mention: the strongest lock, the gravest work, and why."""
    of_table: dict[str, list[Effect]] = {}
    for effect in effects:
        of_table.setdefault(effect.table, []).append(effect)
    return [_merge(table, found) for table, found in of_table.items()]


def _merge(table: str, effects: list[Effect]) -> Effect:
    lock = max(effect.lock for effect in effects)
    work = max((effect.work for effect in effects), key=lambda work: work.weight)
    locking = [effect.why for effect in effects if effect.lock == lock]
    working = [effect.why for effect in effects if effect.work == work and work is not Work.NONE]
    same = [why for why in working if why in locking]
    return Effect(table, lock, work, same[0] if same else "; ".join(dict.fromkeys([*working[:1], locking[0]])))
