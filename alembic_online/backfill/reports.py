"""Backfills, as others see them: how far they are, and requests to pause."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Connection, Row, inspect, literal_column, select, update

from alembic_online.backfill.state import migration_backfills, percent, seconds_left
from alembic_online.runs.history import BACKFILLS

_c = migration_backfills.c

# A pid may have been reused: the backfill's own session began before the work was resumed.
_IS_WORKING = literal_column(
    f"EXISTS (SELECT FROM pg_stat_activity WHERE pid = {BACKFILLS}.pid AND backend_start <= resumed_at"
    " AND datname = current_database())",
    Boolean,
).label("is_working")


@dataclass(frozen=True)
class Report:
    """A backfill. Times are ISO 8601; `state` is running, paused (on request), waiting, interrupted or finished."""

    revision: str
    table: str
    state: str
    paused: bool
    """Whether a request to pause is in force, also for a backfill that was interrupted."""
    waiting_for: str | None
    rows: int
    rows_estimated: int
    changed: int
    percent: float
    batch_size: int
    rows_per_second: float | None
    seconds_left: float | None
    started_at: str
    updated_at: str
    finished_at: str | None


def read_reports(connection: Connection) -> list[Report]:
    """All backfills, in the order in which they began."""
    if not inspect(connection).has_table(BACKFILLS):
        return []
    rows = connection.execute(select(migration_backfills, _IS_WORKING).order_by(_c.id))
    return [_report(row) for row in rows]


def _report(row: Row[Any]) -> Report:
    is_finished, is_working = row.finished_at is not None, bool(row.is_working)
    waiting_for = row.waiting_for if is_working else None
    rate = row.rows_per_second if is_working else None
    if is_finished:
        rate = row.rows_seen / max((row.finished_at - row.started_at).total_seconds(), 1e-3)
    return Report(
        revision=row.revision,
        table=row.table_name,
        state=_state(row),
        paused=row.paused,
        waiting_for=waiting_for,
        rows=row.rows_seen,
        rows_estimated=row.rows_estimated,
        changed=row.rows_changed,
        percent=100.0 if is_finished else percent(row.rows_seen, row.rows_estimated),
        batch_size=row.batch_size,
        rows_per_second=rate,
        seconds_left=None if is_finished else seconds_left(row.rows_seen, row.rows_estimated, rate),
        started_at=row.started_at.isoformat(),
        updated_at=row.updated_at.isoformat(),
        finished_at=row.finished_at and row.finished_at.isoformat(),
    )


def _state(row: Row[Any]) -> str:
    if row.finished_at is not None:
        return "finished"
    if not row.is_working:
        return "interrupted"
    if row.paused:
        return "paused"
    return "waiting" if row.waiting_for else "running"


def set_paused(connection: Connection, paused: bool) -> list[str]:
    """Pause the backfills that are not finished, or resume those that are paused; the tables that this concerns."""
    if not inspect(connection).has_table(BACKFILLS):
        return []
    concerned = update(migration_backfills).where(_c.finished_at.is_(None)).values(paused=paused)
    if not paused:
        concerned = concerned.where(_c.paused)
    return list(connection.scalars(concerned.returning(_c.table_name)))
