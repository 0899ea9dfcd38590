"""Which releases of the app are at work, by rows that its workers keep: the table `migration_workers`.

A worker is a process of the app. It inserts a row with its release, sets `seen_at` anew every ten seconds, and deletes
the row at its end. Sessions tell the same, but not behind a pooler, whose sessions keep the names of clients that are
gone. Guarantee: a worker that was killed is in the way of a contract revision for 30 s at most after it was seen last.
Rows also count for so long after a start of Postgres, because while it is down no worker can be seen.
"""

from dataclasses import dataclass

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, DateTime, MetaData, Table, Text, Uuid, func, inspect, text
from sqlalchemy.schema import CreateTable

from alembic_online.runs.history import WORKERS, for_app

SECONDS = 30

migration_workers = Table(
    WORKERS,
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("application", Text, nullable=False),  # as in the names of its sessions
    Column("release", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
)

_AT_WORK = text(
    "SELECT application, release, count(*), CAST(extract(epoch FROM clock_timestamp() - max(seen_at)) AS integer)"  # noqa: S608 - constants
    f" FROM {WORKERS} WHERE application IN (:name, :name || ' command')"
    f" AND greatest(seen_at, pg_postmaster_start_time()) > clock_timestamp() - interval '{SECONDS} s'"
    " GROUP BY 1, 2 ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Workers:
    """The workers of one release; `seen` is how many seconds ago one of them was seen last."""

    application: str
    release: str
    count: int
    seen: int

    def __str__(self) -> str:
        return (
            f"{self.application}@{self.release} ({self.count} worker{'s' * (self.count > 1)}, seen {self.seen} s ago)"
        )


def find_workers(connection: Connection, application: str) -> list[Workers]:
    """The workers of the app that are at work; none if no run has created the table yet."""
    if not inspect(connection).has_table(WORKERS):
        return []
    return [Workers(*row) for row in connection.execute(_AT_WORK, {"name": application})]


def create_workers(context: MigrationContext) -> None:
    """Create the table, if it is not there, in which the app's role may write nothing but its workers' rows."""
    connection = None if context.as_sql else context.connection
    if connection is not None and inspect(connection).has_table(WORKERS):
        return
    context.execute(CreateTable(migration_workers, if_not_exists=True))
    context.execute(
        for_app(
            context,
            f"REVOKE ALL ON {WORKERS} FROM {{role}}; GRANT SELECT, DELETE, UPDATE (seen_at),"
            f" INSERT (id, application, release, host) ON {WORKERS} TO {{role}};",
        )
    )
    if connection is not None:
        connection.commit()
