"""A rehearsal, from its beginning to its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection

from api.models import Base
from migrator.connection import LOOK, create_engine
from migrator.drift import find_drift
from migrator.history import include_name, require_unchanged
from migrator.plan import make_plan
from migrator.rehearsal.compare import Planned, compare
from migrator.rehearsal.copy import copy_database
from migrator.rehearsal.dump import PgDump, find_pg_dump
from migrator.rehearsal.kinds import changes_schema
from migrator.rehearsal.legs import go
from migrator.rehearsal.plan import read_plan
from migrator.rehearsal.report import LegReport, Rehearsal, StatementReport
from migrator.rehearsal.schemas import difference
from migrator.rehearsal.scratch import scratch_database
from migrator.rehearsal.trace import Leg, Ran, Trace
from migrator.run import LOCK_TIMEOUT

log = structlog.get_logger(__name__)

# What is in no transaction of the real database's own.
READ_ONLY = {"lock_timeout": LOCK_TIMEOUT, "default_transaction_read_only": "on"}


@dataclass(frozen=True)
class _Start:
    """Where the real database is, and what is planned: None for a revision that the plan can't tell about."""

    server_major: int
    current: list[str]
    pending: list[str]
    plan: Mapping[str, Sequence[Planned] | None]
    plan_unknown: dict[str, str]


@dataclass
class _Schemas:
    """The schema at each turn."""

    at: dict[str, list[str]] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)

    def compare(self, before: str, after: str, what: str) -> None:
        """Note where these two differ."""
        if found := difference(self.at[before], self.at[after], (before, after)):
            self.differences[what] = found


async def rehearse(url: URL, config: Config, sample: int) -> Rehearsal:
    """Rehearse what is pending at `url` on a copy of its schema, and of `sample` rows of each table.

    ConfigurationError where that can't be done. The real database is only read.
    """
    assert url.database is not None
    scripts = ScriptDirectory.from_config(config)
    async with create_engine(url, LOOK, **READ_ONLY).connect() as connection:
        start = await connection.run_sync(_look, scripts)
    subjects = {name: scripts.get_revision(name).doc for name in start.pending}
    report = Rehearsal(database=url.database, revisions=subjects, sample=sample, plan_unknown=start.plan_unknown)
    if not start.pending:
        return report
    pg_dump = await find_pg_dump(start.server_major)
    async with scratch_database(url) as scratch:
        log.info("copying the schema", database=url.database, scratch=scratch.database, sample=sample)
        rows, left_out = await copy_database(pg_dump, url, scratch, sample)
        trace = Trace({scripts.get_revision(name).path: name for name in start.pending}, scratch)
        schemas = _Schemas()
        legs, drift = await _go_all(config, trace, pg_dump, start, schemas)
    return replace(
        report,
        rows=rows,
        left_out=left_out,
        legs=legs,
        statements=_compare(start, trace.ran),
        not_taken_back=_not_taken_back(start.pending, trace.ran) if _is_down(legs) else [],
        differences=schemas.differences,
        drift=drift,
    )


def _look(connection: Connection, scripts: ScriptDirectory) -> _Start:
    require_unchanged(connection, scripts)
    plan = make_plan(connection, scripts)
    planned, unknown = read_plan(plan)
    major = connection.exec_driver_sql("SELECT current_setting('server_version_num')::int / 10000").scalar_one()
    return _Start(major, list(plan.current), [revision.revision for revision in plan.revisions], planned, unknown)


async def _go_all(
    config: Config, trace: Trace, pg_dump: PgDump, start: _Start, schemas: _Schemas
) -> tuple[list[LegReport], list[str]]:
    """Up, down, and up again, as far as that goes; and how the schema differs from the models at the top."""
    scratch = trace.url
    schemas.at["before"] = await pg_dump.schema(scratch)
    legs = [await go(Leg.UP, config, trace, start.current)]
    if legs[-1].error:
        return legs, []
    async with create_engine(scratch, LOOK).connect() as connection:
        drift = await connection.run_sync(_drift)
    schemas.at["after up"] = await pg_dump.schema(scratch)
    legs.append(await go(Leg.DOWN, config, trace, start.current))
    if not _is_down(legs) or _not_taken_back(start.pending, trace.ran):
        return legs, drift  # what is there already can't be made again
    schemas.at["after down"] = await pg_dump.schema(scratch)
    schemas.compare("before", "after down", "taken back, the schema is not what it was")
    legs.append(await go(Leg.UP_AGAIN, config, trace, start.current))
    if not legs[-1].error:
        schemas.at["after up again"] = await pg_dump.schema(scratch)
        schemas.compare("after up", "after up again", "applied again, the schema is not what it was the first time")
    return legs, drift


def _is_down(legs: list[LegReport]) -> bool:
    """Whether the way down was gone to its end."""
    return any(leg.leg is Leg.DOWN and not leg.error for leg in legs)


def _drift(connection: Connection) -> list[str]:
    options = {"compare_server_default": True, "include_name": include_name}
    return find_drift(MigrationContext.configure(connection, opts=options), Base.metadata)


def _not_taken_back(revisions: list[str], ran: list[Ran]) -> list[str]:
    """The revisions whose downgrade does nothing, though they have changed more than rows."""
    changed = {
        one.revision for one in ran if one.leg is Leg.UP and one.operation != "backfill" and changes_schema(one.sql)
    }
    undone = {one.revision for one in ran if one.leg is Leg.DOWN}
    return [revision for revision in revisions if revision in changed - undone]


def _compare(start: _Start, ran: list[Ran]) -> list[StatementReport]:
    """Upgrades are planned, both times; of a downgrade is told what it did."""
    reports = []
    for leg in Leg:
        order = reversed(start.pending) if leg is Leg.DOWN else start.pending
        for revision in order:
            planned = None if leg is Leg.DOWN else start.plan.get(revision)
            reports += compare(planned, [one for one in ran if (one.leg, one.revision) == (leg, revision)])
    return reports
