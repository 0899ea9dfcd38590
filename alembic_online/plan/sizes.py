"""The tables of a plan: how large they are, and who holds which lock on them now."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from alembic_online.log import is_debugging
from alembic_online.postgres import sqlstate
from alembic_online.runs.blockers import SESSION
from alembic_online.sql import Lock

LOCK_NOT_AVAILABLE = "55P03"

# For a partition, or a partitioned table, only its own size.
_SIZE = text(
    "SELECT pg_total_relation_size(oid), pg_size_pretty(pg_total_relation_size(oid)), nullif(reltuples, -1)::bigint,"
    " coalesce(pg_relation_size(oid), 0) > 0 FROM pg_class WHERE oid = to_regclass(:table)"
)
# The same without a lock, as of the last VACUUM or ANALYZE.
_ESTIMATE = text(
    "SELECT bytes, pg_size_pretty(bytes), nullif(reltuples, -1)::bigint, true FROM"
    " (SELECT relpages::bigint * current_setting('block_size')::bigint AS bytes, reltuples FROM pg_class"
    " WHERE oid = to_regclass(:table)) AS estimated"
)
# A transaction prepared for two-phase commit has no session.
_HOLDERS = text(
    f"SELECT mode, CASE WHEN pid IS NULL THEN 'a prepared transaction' ELSE {SESSION} END"  # noqa: S608 - a constant
    " FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)"
    " WHERE granted AND locktype = 'relation' AND relation = to_regclass(:table)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND pid IS DISTINCT FROM pg_backend_pid() ORDER BY pid, mode"
)


@dataclass(frozen=True)
class Table:
    """A table, or a view: its size with indexes and TOAST, and its number of rows, None if they were never counted."""

    name: str
    bytes: int
    size: str
    rows: int | None
    has_rows: bool

    def __str__(self) -> str:
        if not self.has_rows:
            return "empty"
        return f"{self.size}, {'unknown' if self.rows is None else f'about {self.rows:,}'} rows"


@dataclass(frozen=True)
class Holder:
    """A session that holds a lock on a table now."""

    table: str
    lock: Lock
    session: str


def read_tables(connection: Connection, names: Collection[str]) -> dict[str, Table]:
    """Those of these that exist. It does not wait for a table that is locked: its size is then an estimate."""
    found = {name: _read(connection, name) for name in names}
    return {name: table for name, table in found.items() if table}


def _read(connection: Connection, name: str) -> Table | None:
    try:
        with connection.begin_nested():
            row = connection.execute(_SIZE, {"table": name}).one_or_none()
    except DBAPIError as error:
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        row = connection.execute(_ESTIMATE, {"table": name}).one_or_none()
    return None if row is None else Table(name, *row)


def read_holders(connection: Connection, names: Collection[str]) -> list[Holder]:
    """The sessions that hold a lock on one of these."""
    return [
        Holder(name, Lock.of_mode(mode), session)
        for name in names
        for mode, session in connection.execute(_HOLDERS, {"table": name, "with_query": is_debugging()})
    ]
