"""When a backfill has to pause: on request, while sessions wait for locks, while replicas lag."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection
from sqlalchemy.util import await_

from alembic_online.backfill.state import State, note_waiting
from alembic_online.runs.history import BACKFILLS
from alembic_online.runs.lock import MigrationLock

POLL_SECONDS = 0.5
# So many don't wait by chance; and each session that waits is a connection that the app lacks.
WAITING_SESSIONS = 5
# How far a replica may lag: by more time, and clients that read there miss what they have just written; by more bytes,
# and it takes long to catch up.
REPLICA_SECONDS, REPLICA_BYTES = 10, 64 * 1024 * 1024

ASKED = "a request (python -m alembic_online backfill resume ends it)"

log = structlog.get_logger(__name__)

# Advisory locks are left out: they are the application's own, and it may wait long for them on purpose.
# Replicas: replay_lag keeps its last measured value, so it counts only while there is something to replay. While replay
# is stopped it is not measured, so the replica is also compared with the WAL position of 10 s ago ($2). pg_basebackup
# and pg_receivewal have no replay_lsn; a logical slot's consumer is not a replica.
_LOAD = f"""\
SELECT (SELECT paused FROM {BACKFILLS} WHERE id = $1::bigint),
    (
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event <> 'advisory'
    ),
    ARRAY(
        SELECT format('%s (%s behind)', coalesce(nullif(application_name, ''), client_addr::text, pid::text),
            pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)))
        FROM pg_stat_replication
        WHERE replay_lsn < pg_current_wal_lsn() AND (
            replay_lag > make_interval(secs => {REPLICA_SECONDS}) OR replay_lsn < $2::text::pg_lsn
            OR pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > {REPLICA_BYTES}
        ) AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE active_pid = pid AND slot_type = 'logical')
        ORDER BY 1
    ),
    pg_current_wal_lsn()::text"""  # noqa: S608 - constants


@dataclass
class Load:
    """What is known about the load of the database."""

    positions: deque[tuple[float, str]] = field(default_factory=deque)
    """When the WAL was at which position: from 10 s ago until now."""

    def look(self, connection: Connection, backfill: int) -> tuple[str, str] | None:
        """Why the backfill has to pause: the kind of reason, and its text; None if it may go on."""
        now = time.monotonic()
        while len(self.positions) > 1 and self.positions[1][0] <= now - REPLICA_SECONDS:
            self.positions.popleft()
        is_old = bool(self.positions) and self.positions[0][0] <= now - REPLICA_SECONDS
        ten_seconds_ago = self.positions[0][1] if is_old else None
        is_paused, waiting, behind, position = connection.exec_driver_sql(_LOAD, (backfill, ten_seconds_ago)).one()
        self.positions.append((now, position))
        if is_paused:
            return "request", ASKED
        if waiting >= WAITING_SESSIONS:
            return "locks", f"{waiting} sessions that wait for locks"
        if behind:
            return "replicas", f"replicas: {', '.join(behind)}"
        return None


def pause(seconds: float) -> None:
    """Wait `seconds` in the event loop, so that SIGTERM can end the wait."""
    await_(asyncio.sleep(seconds))


def wait_until_calm(connection: Connection, state: State, load: Load, lock: MigrationLock | None, table: str) -> float:
    """Return when nothing speaks against the next batch and the migration lock is held; the seconds waited."""
    began, kind = time.monotonic(), None
    while True:
        if lock is not None:
            lock.require(connection)
        reason = load.look(connection, state.id)
        if reason is None:
            break
        if reason[0] != kind:
            kind = reason[0]
            log.warning("backfill pauses", table=table, waiting_for=reason[1])
            note_waiting(connection, state, reason[1])
        pause(POLL_SECONDS)
    if kind is None:
        return 0
    waited = time.monotonic() - began
    log.info("backfill goes on", table=table, paused_seconds=round(waited, 1))
    note_waiting(connection, state, None)
    return waited
