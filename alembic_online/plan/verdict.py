"""Whether a statement may be run while the tables are in use."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alembic_online.plan.sizes import Holder, Table
from alembic_online.revision_sql import RevisionStatement
from alembic_online.sql import Effect, Lock, Work, is_online

LARGE = 1 << 30  # bytes: to read so much takes longer than a minute on an ordinary disk
BACKFILL = "backfill"


class Verdict(StrEnum):
    """What a statement means for those who use the tables meanwhile, the gravest last."""

    SAFE = "safe"
    """Nobody waits longer than an instant."""
    CAREFUL = "careful"
    """Somebody may wait, because a conflicting lock is held now or changed rows stay locked. Or it takes long."""
    UNKNOWN = "unknown"
    """Its SQL does not show what it does."""
    UNSAFE = "unsafe"
    """Reads or writes of a table with rows wait while it is scanned, indexed, rewritten, or changed as a whole."""

    @property
    def weight(self) -> int:
        """Its place in the order of gravity."""
        return list(Verdict).index(self)


DOING = {
    Work.SCAN: "reads all of {}",
    Work.BUILD: "builds an index on {}",
    Work.REWRITE: "rewrites all of {}",
    Work.ROWS: "changes rows of {}",
    Work.ALL_ROWS: "changes all rows of {}",
}


@dataclass(frozen=True)
class Situation:
    """The state in which a statement runs."""

    tables: Mapping[str, Table]
    """The existing tables, by their names at that point of the plan."""
    held: Mapping[str, Lock]
    """The locks on existing tables that its transaction holds then, including its own."""
    holders: Sequence[Holder]
    """The other sessions that hold locks on the tables of its effects."""


def gravest(verdicts: Collection[Verdict]) -> Verdict:
    """The gravest of them; SAFE if there is none."""
    return max(verdicts, key=lambda verdict: verdict.weight, default=Verdict.SAFE)


def judge(statement: RevisionStatement, effects: Sequence[Effect], situation: Situation) -> tuple[Verdict, str]:
    """The verdict, and why; `effects` are those on tables that existed before the plan."""
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
    """Why others wait long, if they do."""
    long = _long(effects, situation)
    blocked = {table: lock for table, lock in situation.held.items() if lock.blocks_writes}
    if long and blocked:
        return f"{_who_waits(blocked)} wait while this {_doing(long, situation)}"
    if all_rows := [effect for effect in long if effect.work is Work.ALL_ROWS]:
        return f"{_doing(all_rows, situation)} in one transaction, and each stays locked until it ends"
    return None


def _opaque(effects: Sequence[Effect], situation: Situation) -> str | None:
    """What is not known about it, if anything."""
    if opaque := [effect for effect in effects if effect.work is Work.UNKNOWN]:
        return opaque[0].why
    missing = [effect.table for effect in effects if effect.is_named and effect.table not in situation.tables]
    return f"{' and '.join(missing)}: does not exist now, and nothing in the plan creates it" if missing else None


def _takes_long(effects: Sequence[Effect], situation: Situation) -> str | None:
    """Why it takes long, or rows stay locked, if so, though it blocks nobody by a lock on a table."""
    long = _long(effects, situation)
    if rows := [effect for effect in long if effect.work is Work.ROWS]:
        return f"{_doing(rows, situation)}, which stay locked until the end of the transaction"
    if sum(situation.tables[effect.table].bytes for effect in long) >= LARGE:
        return f"blocks nobody, but takes long: {_doing(long, situation)}"
    return None


def _long(effects: Sequence[Effect], situation: Situation) -> list[Effect]:
    """The effects on tables with rows that take longer the more rows there are."""
    there = situation.tables
    return [
        effect for effect in effects if effect.work in DOING and effect.table in there and there[effect.table].has_rows
    ]


def _doing(effects: Sequence[Effect], situation: Situation) -> str:
    tables = {effect.table: f"{effect.table} ({situation.tables[effect.table].size})" for effect in effects}
    return " and ".join(DOING[effect.work].format(tables[effect.table]) for effect in effects)


def conflicting(statement: RevisionStatement, effects: Sequence[Effect], holders: Sequence[Holder]) -> list[Holder]:
    """The holders that the statement has to wait for."""
    locks = {effect.table: _waits_for(statement, effect) for effect in effects}
    return [holder for holder in holders if holder.lock in locks.get(holder.table, ())]


def _waits_for(statement: RevisionStatement, effect: Effect) -> frozenset[Lock]:
    """CONCURRENTLY, with its weak lock, also waits for sessions that don't know the new index, or use the old one."""
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
    return f"{_who_waits(blocked)} wait for an instant" if blocked else "blocks nobody"
