"""How far backfills are: the table `migration_backfills`.

Guarantee: a batch and the key that it reached are committed by one statement, so the table agrees with the rows. A
backfill is identified by its revision and a hash of its definition: if its definition has changed, it begins anew, and
also if it was finished, because its rows may have changed since.
"""

import hashlib
import json
from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Double,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    or_,
    update,
)
from sqlalchemy.schema import CreateTable

from alembic_online.backfill.batches import Batches
from alembic_online.backfill.definition import Backfill
from alembic_online.errors import LockLost
from alembic_online.runs.history import BACKFILLS, read_only

FIRST_BATCH = 1000

migration_backfills = Table(
    BACKFILLS,
    MetaData(),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("revision", Text, nullable=False),
    Column("definition", Text, nullable=False),  # SHA-256, in hexadecimal
    Column("table_name", Text, nullable=False),
    Column("cursor", ARRAY(Text)),  # the last key that is done; NULL before the first batch
    Column("upper_bound", ARRAY(Text)),  # the last key to do, fixed at the start; NULL where there was no row
    Column("rows_seen", BigInteger, nullable=False, server_default="0"),
    Column("rows_changed", BigInteger, nullable=False, server_default="0"),
    Column("rows_estimated", BigInteger, nullable=False),
    Column("rows_per_second", Double),
    Column("batch_size", Integer, nullable=False),
    Column("paused", Boolean, nullable=False, server_default="false"),  # on request
    Column("waiting_for", Text),  # why no batch is under way, for people
    Column("pid", Integer),  # of the session that works on it, or last did
    Column("resumed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("revision", "definition"),
)
_c = migration_backfills.c

# After a batch: $1 is its last key, $2 the key before its first. If the cursor is another, another run is at work, too.
_NOTE = (
    f"UPDATE {BACKFILLS} SET cursor = $1::text[], rows_seen = rows_seen + $3::bigint,"  # noqa: S608 - a constant
    " rows_changed = rows_changed + (SELECT count(*) FROM changed),"
    " batch_size = $4::int, rows_per_second = $5::float8, updated_at = clock_timestamp()"
    " WHERE id = $6::bigint AND cursor IS NOT DISTINCT FROM $2::text[] RETURNING rows_changed"
)


@dataclass
class State:
    """How far one backfill is."""

    id: int
    cursor: list[str] | None
    upper_bound: list[str] | None
    rows_seen: int
    rows_changed: int
    rows_estimated: int
    batch_size: int
    rows_per_second: float | None


_STATE = (
    _c.id, _c.cursor, _c.upper_bound, _c.rows_seen, _c.rows_changed, _c.rows_estimated, _c.batch_size,
    _c.rows_per_second,
)  # fmt: skip


def begin(context: MigrationContext, revision: str, batches: Batches) -> State:
    """The state of the backfill that was interrupted, or else a new one."""
    connection = context.connection
    assert connection is not None
    definition = _hash(batches.backfill)
    connection.execute(CreateTable(migration_backfills, if_not_exists=True))
    connection.execute(read_only(context, BACKFILLS))
    interrupted = connection.execute(
        update(migration_backfills)
        .where(_c.revision == revision, _c.definition == definition, _c.finished_at.is_(None))
        .values(pid=func.pg_backend_pid(), resumed_at=func.clock_timestamp(), waiting_for=None, rows_per_second=None)
        .returning(*_STATE)
    ).one_or_none()
    if interrupted is not None:
        return State(*interrupted)
    connection.execute(
        delete(migration_backfills).where(
            _c.revision == revision, or_(_c.definition == definition, _c.finished_at.is_(None))
        )
    )
    upper_bound = connection.exec_driver_sql(batches.last_key).scalar()
    begun = insert(migration_backfills).values(
        revision=revision,
        definition=definition,
        table_name=batches.backfill.target,
        upper_bound=upper_bound,
        rows_estimated=0 if upper_bound is None else _estimate(connection, batches.backfill),
        batch_size=FIRST_BATCH,
        pid=func.pg_backend_pid(),
    )
    return State(*connection.execute(begun.returning(*_STATE)).one())


def _hash(backfill: Backfill) -> str:
    definition = [backfill.target, dict(backfill.values), backfill.where, backfill.keys]
    return hashlib.sha256(json.dumps(definition).encode()).hexdigest()


def _estimate(connection: Connection, backfill: Backfill) -> int:
    """The planner's estimate of the table's rows, which goes by the file's size if they were never counted."""
    plans = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) SELECT FROM {backfill.target}").scalar_one()
    return int(plans[0]["Plan"]["Plan Rows"])


def find_batch(connection: Connection, batches: Batches, state: State) -> tuple[list[str], int] | None:
    """The last key of the next batch, and how many rows it has; None if nothing is left."""
    sql = batches.find(is_first=state.cursor is None)
    parameters = (state.upper_bound, state.batch_size, *([state.cursor] if state.cursor else []))
    found = connection.exec_driver_sql(sql, parameters).one_or_none()
    return None if found is None else (found[0], found[1])


def write_batch(connection: Connection, batches: Batches, state: State, end: list[str], rows: int) -> None:
    """Update the rows up to the key `end`, and note that; LockLost if another run has done so."""
    sql = batches.write(_NOTE, is_first=state.cursor is None)
    parameters = (end, state.cursor, rows, state.batch_size, state.rows_per_second, state.id)
    changed = connection.exec_driver_sql(sql, parameters).scalar()
    if changed is None:
        raise LockLost(f"somebody else is at work on the backfill of {batches.backfill.target}; run this again")
    state.cursor, state.rows_seen, state.rows_changed = end, state.rows_seen + rows, changed


def note_waiting(connection: Connection, state: State, reason: str | None) -> None:
    """Note why no batch is under way, for `backfill status`; None once one is again."""
    connection.execute(update(migration_backfills).where(_c.id == state.id).values(waiting_for=reason))


def finish(connection: Connection, state: State) -> None:
    """Note that the backfill is finished."""
    now = func.clock_timestamp()
    done = {"finished_at": now, "updated_at": now, "pid": None, "paused": False, "waiting_for": None}
    connection.execute(update(migration_backfills).where(_c.id == state.id).values(done))


def percent(seen: int, estimated: int) -> float:
    """How much of a backfill under way is done, in percent; never 100, because the number of rows is an estimate."""
    return min(99.9, round(100 * seen / max(seen, estimated, 1), 1))


def seconds_left(seen: int, estimated: int, rows_per_second: float | None) -> float | None:
    """How long it takes at this rate; None if the rate is not known."""
    return max(0, estimated - seen) / rows_per_second if rows_per_second else None
