"""Whether a statement may be run while the tables are in use."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alembic_online.plan.sizes import Holder, Table
from alembic_online.revision_sql import RevisionStatement
from alembic_online.runs.online import is_online
from alembic_online.sql import Effect, Lock, Work

LARGE = 1 << 30  # bytes: what is read of so much takes longer than a minute on an ordinary disk
BACKFILL = "backfill"


class Verdict(StrEnum):
    """How a statement is for those who use the tables meanwhile, the gravest last."""

    SAFE = "safe"
    """Nobody waits longer than an instant."""
    CAREFUL = "careful"
    """Somebody may wait: who conflicts holds a lock now, or changed rows stay locked. Or it takes long."""
    UNKNOWN = "unknown"
    """Its SQL does not show what it does."""
    UNSAFE = "unsafe"
    """Reads or writes of a table with rows wait while it is scanned, built on, written anew, or changed as a whole."""

    @property
    def weight(self) -> int:
        """Its place in the order of gravity."""
        return list(Verdict).index(self)


DOING = {
    Work.SCAN: "reads all of {}",
    Work.BUILD: "builds an index on {}",
    Work.REWRITE: "writes all of {} anew",
    Work.ROWS: "changes rows of {}",
    Work.ALL_ROWS: "changes all rows of {}",
}


@dataclass(frozen=True)
class Situation:
    """What there is when a statement runs."""

    tables: Mapping[str, Table]
    """Those that are there, by the names that they have by then."""
    held: Mapping[str, Lock]
    """What its transaction holds by then on tables that are there, its own locks among it."""
    holders: Sequence[Holder]
    """Who else holds locks on the tables of its effects."""


def gravest(verdicts: Collection[Verdict]) -> Verdict:
    """The gravest of them; SAFE where there is none."""
    return max(verdicts, key=lambda verdict: verdict.weight, default=Verdict.SAFE)


def judge(statement: RevisionStatement, effects: Sequence[Effect], situation: Situation) -> tuple[Verdict, str]:
    """The verdict, and why; `effects` are those on tables that were there before the plan."""
    in_the_way = conflicting(statement, effects, situation.holders)
    waits = "waits for " + " and ".join(dict.fromkeys(f"{holder.session} on {holder.table}" for holder in in_the_way))
    if statement.operation == BACKFILL:
        batches = "in batches, each of which locks the rows that it changes for an instant"
        return (Verdict.CAREFUL, f"{waits}; {batches}") if in_the_way else (Verdict.SAFE, batches)
    if reason := _unsafe(effects, situation):
        return Verdict.UNSAFE, reason
    if reason := _opaque(effects, situation):
        return Verdict.UNKNOWN, reason
    if in_the_way:
        own = {effect.table: effect.lock for effect in effects if effect.lock.blocks_writes}
        return Verdict.CAREFUL, f"{waits}, and {_who_waits(own)} behind it" if own else waits
    if reason := _takes_long(effects, situation):
        return Verdict.CAREFUL, reason
    return Verdict.SAFE, _instant(effects)


def _unsafe(effects: Sequence[Effect], situation: Situation) -> str | None:
    """Why others wait for long, if they do."""
    long = _long(effects, situation)
    blocked = {table: lock for table, lock in situation.held.items() if lock.blocks_writes}
    if long and blocked:
        return f"{_who_waits(blocked)} wait while this {_doing(long, situation)}"
    if all_rows := [effect for effect in long if effect.work is Work.ALL_ROWS]:
        return f"{_doing(all_rows, situation)} in one transaction, and each stays locked until its end"
    return None


def _opaque(effects: Sequence[Effect], situation: Situation) -> str | None:
    """What can't be known of it, if there is something."""
    if opaque := [effect for effect in effects if effect.work is Work.UNKNOWN]:
        return opaque[0].why
    missing = [effect.table for effect in effects if effect.is_named and effect.table not in situation.tables]
    return f"{' and '.join(missing)}: not there now, and nothing in the plan is seen to make it" if missing else None


def _takes_long(effects: Sequence[Effect], situation: Situation) -> str | None:
    """Why it takes long, or rows stay locked, if so, though nobody waits for a lock on a table."""
    long = _long(effects, situation)
    if rows := [effect for effect in long if effect.work is Work.ROWS]:
        return f"{_doing(rows, situation)}, which stay locked until the end of the transaction"
    if sum(situation.tables[effect.table].bytes for effect in long) >= LARGE:
        return f"in nobody's way, but takes long: {_doing(long, situation)}"
    return None


def _long(effects: Sequence[Effect], situation: Situation) -> list[Effect]:
    """What is done to tables with rows, and takes the longer the more they have."""
    there = situation.tables
    return [
        effect for effect in effects if effect.work in DOING and effect.table in there and there[effect.table].has_rows
    ]


def _doing(effects: Sequence[Effect], situation: Situation) -> str:
    tables = {effect.table: f"{effect.table} ({situation.tables[effect.table].size})" for effect in effects}
    return " and ".join(DOING[effect.work].format(tables[effect.table]) for effect in effects)


def conflicting(statement: RevisionStatement, effects: Sequence[Effect], holders: Sequence[Holder]) -> list[Holder]:
    """Those of the holders whom the statement has to wait for."""
    locks = {effect.table: _waits_for(statement, effect) for effect in effects}
    return [holder for holder in holders if holder.lock in locks.get(holder.table, ())]


def _waits_for(statement: RevisionStatement, effect: Effect) -> frozenset[Lock]:
    """CONCURRENTLY waits, with a weak lock, until nobody is left who knows nothing of the index, or uses it."""
    conflicts = effect.lock.conflicts
    if effect.lock is Lock.SHARE_UPDATE_EXCLUSIVE and is_online(statement.sql):
        if effect.work is Work.BUILD:
            return conflicts | Lock.SHARE.conflicts
        if effect.work is Work.NONE:
            return conflicts | Lock.ACCESS_EXCLUSIVE.conflicts
    return conflicts


def _who_waits(locks: Mapping[str, Lock]) -> str:
    who = "reads and writes" if any(lock.blocks_reads for lock in locks.values()) else "writes"
    return f"{who} of {' and '.join(locks)}"


def _instant(effects: Sequence[Effect]) -> str:
    blocked = {effect.table: effect.lock for effect in effects if effect.lock.blocks_writes}
    return f"{_who_waits(blocked)} wait for an instant" if blocked else "in nobody's way"
