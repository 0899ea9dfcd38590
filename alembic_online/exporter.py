"""What `status` and `backfill status` say, as metrics for Prometheus."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import datetime

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from alembic_online.backfill.reports import Report, read_reports
from alembic_online.commands import Setup
from alembic_online.errors import ConfigurationError, MigratorError
from alembic_online.runs.connection import LOOK
from alembic_online.runs.lock import find_holder
from alembic_online.runs.status import Status, read_status

LOOK_EVERY_SECONDS = 15
LOOK_SECONDS = 60  # at most

ABOUT = {
    "up": "1 if the database could be looked at; while it can't, there is nothing else",
    "revision_info": "1; the revision that the schema is at, and the newest of this release",
    "running": "1 while somebody migrates",
    "pending_revisions": "Revisions of this release that are not applied",
    "pending_contract": "1 for each contract revision that is not applied, with the release that it waits for",
    "releases_at_work": "Releases of the app that are at work, counted by their sessions and by their workers",
    "invalid_indexes": "Indexes that an interrupted run has left",
    "constraints_not_validated": "Constraints that were never validated",
    "drift_changes": "Differences between the schema and the models; none while revisions are pending",
    "drift_not_compared": "What could not be compared",
    "last_move_timestamp_seconds": "When the newest revision was applied, or taken back",
    "last_move_duration_seconds": "How long that took",
    "last_move_waited_seconds": "How long it waited for locks",
    "last_move_attempts": "How often it was tried",
    "backfill_info": "1; what state the backfill is in: running, paused, waiting, interrupted or finished",
    "backfill_rows": "Rows that are done",
    "backfill_rows_estimated": "Rows that the table had at the start, by the planner's estimate",
    "backfill_rows_per_second": "Its pace; 0 while it is not at work",
    "backfill_updated_timestamp_seconds": "When its last batch was committed",
}

Sample = tuple[str, dict[str, str], float]

log = structlog.get_logger(__name__)


class Latest(Collector):
    """What was found when the database was last looked at; while it does not answer, only that."""

    def __init__(self) -> None:
        self.found: list[Sample] = []

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for name, labels, value in [("up", {}, bool(self.found)), *self.found]:
            family = families.setdefault(name, Metric(f"alembic_online_{name}", ABOUT[name], "gauge"))
            family.add_sample(family.name, labels, float(value))
        yield from families.values()


async def export(setup: Setup, port: int) -> None:
    """Serve them on this port, until cancelled. ConfigurationError if the port can't be used."""
    registry, latest = CollectorRegistry(), Latest()
    registry.register(latest)
    try:
        # All addresses, IPv6 and IPv4; where IPv6 is off, IPv4.
        start_http_server(port, "::" if socket.has_dualstack_ipv6() else "0.0.0.0", registry)  # noqa: S104
    except OSError as error:
        raise ConfigurationError(f"port {port}: {error.strerror}") from error
    engine, reason = setup.connect(LOOK), None
    while True:
        try:
            async with asyncio.timeout(LOOK_SECONDS), engine.connect() as connection:
                await connection.execution_options(postgresql_readonly=True)
                holder = await find_holder(connection)
                latest.found = await connection.run_sync(_look, setup, holder)
            reason = None
        except (MigratorError, SQLAlchemyError, OSError) as error:  # TimeoutError among them
            latest.found, before = [], reason
            reason = str(getattr(error, "orig", None) or error or "it does not answer in time")
            if before is None:
                log.warning("can't look at the database", reason=reason)
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _look(connection: Connection, setup: Setup, holder: str | None) -> list[Sample]:
    status = read_status(connection, setup.project, holder)
    return [*_of_status(status), *_of_backfills(read_reports(connection))]


def _of_status(status: Status) -> Iterator[Sample]:
    yield "revision_info", {"current": ",".join(status.current), "head": ",".join(status.head)}, 1
    yield "running", {}, status.lock_holder is not None
    yield "pending_revisions", {}, len(status.pending)
    for revision, release in status.contract.items():
        yield "pending_contract", {"revision": revision, "safe_from_release": release}, 1
    for kind, releases in (("sessions", status.releases), ("workers", status.workers)):
        for release, number in releases.items():
            yield "releases_at_work", {"release": release, "counted": kind}, number
    yield "invalid_indexes", {}, len(status.invalid_indexes)
    yield "constraints_not_validated", {}, len(status.constraints_not_validated)
    if status.drift is not None:  # it is not looked for while revisions are pending
        yield "drift_changes", {}, len(status.drift)
        yield "drift_not_compared", {}, len(status.drift_not_compared)
    for move in status.history[:1]:
        labels = {"revision": move.revision, "direction": move.direction}
        yield "last_move_timestamp_seconds", labels, datetime.fromisoformat(move.applied_at).timestamp()
        yield "last_move_duration_seconds", labels, move.seconds or 0
        yield "last_move_waited_seconds", labels, move.waited_seconds or 0
        yield "last_move_attempts", labels, move.attempts or 0


def _of_backfills(reports: list[Report]) -> Iterator[Sample]:
    for report in reports:
        labels = {"revision": report.revision, "table": report.table}
        yield "backfill_info", labels | {"state": report.state}, 1
        yield "backfill_rows", labels, report.rows
        yield "backfill_rows_estimated", labels, report.rows_estimated
        yield "backfill_rows_per_second", labels, report.rows_per_second or 0
        yield "backfill_updated_timestamp_seconds", labels, datetime.fromisoformat(report.updated_at).timestamp()
