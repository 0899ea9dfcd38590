"""What was planned, and what was measured.

A lock that is stronger than planned is a surprise if it could make anybody wait: reads, writes, or other changes of the
schema. So is an unplanned rewrite of a table. A weaker lock is not a surprise, nor is one that the revision held
already: Postgres does not show it again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from alembic_online.rehearsal.lock_observation import LockObservation
from alembic_online.rehearsal.report import StatementReport, TableReport
from alembic_online.rehearsal.snapshot import Seen
from alembic_online.rehearsal.trace import Leg, Ran
from alembic_online.sql import Effect, Lock, Work

BACKFILL = "backfill"
# By this work a table gets a new file; TRUNCATE, which changes all rows, does, too.
WRITES_ANEW = {Work.REWRITE, Work.ALL_ROWS, Work.UNKNOWN}


@dataclass(frozen=True)
class Planned:
    """A statement of the plan."""

    sql: str
    line: int
    operation: str | None
    effects: Sequence[Effect]


@dataclass
class _Pair:
    """A planned statement, and the statements that were executed for it: one, or the batches of a backfill."""

    planned: Planned | None
    ran: list[Ran] = field(default_factory=list)


def compare(planned: Sequence[Planned] | None, ran: Sequence[Ran]) -> list[StatementReport]:
    """What a revision's statements did on one leg; `planned` is None if the plan does not know them."""
    pairs: list[_Pair] = []
    left = list(planned or ())
    for statement in ran:
        pair = pairs[-1] if pairs and _continues(pairs[-1], statement) else None
        if pair is None:
            found = _find(left, statement)
            if found is not None:
                left.remove(found)
            pair = _Pair(found)
            pairs.append(pair)
        pair.ran.append(statement)
    reports = [_report(pair, is_known=planned is not None) for pair in pairs]
    lines = {(pair.planned.line, _verb(pair.planned.sql)) for pair in pairs if pair.planned}
    if ran:  # several planned statements may run as one: rows that are inserted together
        leg, revision = ran[0].leg, ran[0].revision
        reports += [_not_run(leg, revision, one) for one in left if (one.line, _verb(one.sql)) not in lines]
    return [report for report in reports if report.is_planned or report.tables]


def _continues(pair: _Pair, statement: Ran) -> bool:
    """Whether it is one more statement of the same backfill."""
    last = pair.ran[-1]
    return statement.operation == last.operation == BACKFILL and statement.line == last.line


def _find(planned: Sequence[Planned], ran: Ran) -> Planned | None:
    """The same statement; or else the same kind in the same line, because in a plan values are written out."""
    same = [one for one in planned if _plain(one.sql) == _plain(ran.sql)]
    alike = [
        one
        for one in planned
        if one.line == ran.line and (one.operation == ran.operation == BACKFILL or _verb(one.sql) == _verb(ran.sql))
    ]
    return next(iter([*same, *alike]), None)


def _plain(sql: str) -> str:
    return " ".join(sql.split()).removesuffix(";")


def _verb(sql: str) -> str:
    return sql.split(maxsplit=1)[0].upper() if sql.strip() else ""


def _report(pair: _Pair, *, is_known: bool) -> StatementReport:
    first = pair.ran[0]
    seen = _merge(one for ran in pair.ran for one in ran.seen)
    effects = list(pair.planned.effects) if pair.planned else []
    polled = next((ran.way.value for ran in pair.ran if ran.way is LockObservation.POLLED), None)
    nothing_seen = pair.ran[0].way is LockObservation.HELD_UP and not any(one.is_something for one in seen.values())
    return StatementReport(
        leg=first.leg,
        revision=first.revision,
        line=first.line,
        operation=first.operation,
        sql=pair.planned.sql if pair.planned and first.operation == BACKFILL else first.sql,
        runs=len(pair.ran),
        seconds=sum(ran.seconds for ran in pair.ran),
        is_planned=pair.planned is not None,
        not_measured=polled or ("it ended before its locks could be read" if nothing_seen and effects else None),
        tables=_tables(effects, seen, is_known=is_known),
    )


def _not_run(leg: Leg, revision: str, planned: Planned) -> StatementReport:
    return StatementReport(
        leg=leg,
        revision=revision,
        line=planned.line,
        operation=planned.operation,
        sql=planned.sql,
        runs=0,
        seconds=0,
        is_planned=True,
        not_measured="planned, but not executed",
        tables=_tables(planned.effects, {}, is_known=True),
    )


def _merge(seen: Iterable[Seen]) -> dict[str, Seen]:
    """By table: the strongest lock, and all that was done to it."""
    merged: dict[str, Seen] = {}
    for one in seen:
        before = merged.get(one.table, one)
        merged[one.table] = replace(
            one,
            lock=max((lock for lock in (before.lock, one.lock) if lock), default=None),
            held=before.held,
            is_rewritten=before.is_rewritten or one.is_rewritten,
            is_scanned=before.is_scanned or one.is_scanned,
        )
    return merged


def _tables(effects: Sequence[Effect], seen: dict[str, Seen], *, is_known: bool) -> list[TableReport]:
    named = {effect.table: effect for effect in effects if effect.is_named}
    # A planned table that the statement does not name: it may be any of those seen.
    nameless = next((effect for effect in effects if not effect.is_named), None)
    reports = [_table(table, effect, seen.get(table), is_known=True) for table, effect in named.items()]
    others = [one for table, one in seen.items() if table not in named and one.is_something]
    reports += [_table(one.table, nameless, one, is_known=is_known) for one in others]
    if nameless is not None and not others:
        reports.append(_table(nameless.table, nameless, None, is_known=True))
    return reports


def _table(table: str, effect: Effect | None, seen: Seen | None, *, is_known: bool) -> TableReport:
    return TableReport(
        table=table,
        planned_lock=str(effect.lock) if effect else None,
        planned_work=effect.work.value if effect else None,
        lock=str(seen.lock) if seen and seen.lock else None,
        held=str(seen.held) if seen and seen.held else None,
        is_rewritten=bool(seen and seen.is_rewritten),
        is_scanned=bool(seen and seen.is_scanned),
        surprise=_surprise(effect, seen) if seen and is_known else None,
    )


def _surprise(effect: Effect | None, seen: Seen) -> str | None:
    found = []
    if seen.lock and seen.lock > Lock.ROW_EXCLUSIVE and (effect is None or seen.lock > effect.lock):
        found.append(f"is locked {seen.lock}, but the plan has {effect.lock if effect else 'no lock'}")
    if seen.is_rewritten and (effect is None or effect.work not in WRITES_ANEW):
        found.append("is rewritten, which was not planned")
    return " and ".join(found) or None
