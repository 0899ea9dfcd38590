"""A rehearsal, from its beginning to its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from sqlalchemy import Connection

from alembic_online.drift.report import compare_with_models
from alembic_online.plan import make_plan
from alembic_online.project import Project
from alembic_online.rehearsal.compare import Planned, compare
from alembic_online.rehearsal.copy import copy_database
from alembic_online.rehearsal.dump import PgDump, find_pg_dump
from alembic_online.rehearsal.lock_observation import changes_schema
from alembic_online.rehearsal.planned import read_plan
from alembic_online.rehearsal.report import LegReport, Rehearsal, StatementReport
from alembic_online.rehearsal.round_trip import go
from alembic_online.rehearsal.schemas import difference
from alembic_online.rehearsal.scratch import scratch_database
from alembic_online.rehearsal.trace import Leg, Ran, Trace
from alembic_online.runs.connection import LOOK, create_engine
from alembic_online.runs.history import require_unchanged
from alembic_online.runs.retries import LOCK_TIMEOUT
from stack_settings import DatabaseUrl

log = structlog.get_logger(__name__)

# For the connection to the real database.
READ_ONLY = {"lock_timeout": LOCK_TIMEOUT, "default_transaction_read_only": "on"}


@dataclass(frozen=True)
class _Start:
    """The state of the real database, and the plan: None for a revision whose statements are not known."""

    server_major: int
    current: list[str]
    pending: list[str]
    plan: Mapping[str, Sequence[Planned] | None]
    plan_unknown: dict[str, str]


@dataclass
class _Schemas:
    """The schema before and after each leg."""

    at: dict[str, list[str]] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)

    def compare(self, before: str, after: str, what: str) -> None:
        """Note the difference of these two, if any."""
        if found := difference(self.at[before], self.at[after], (before, after)):
            self.differences[what] = found


async def rehearse(url: DatabaseUrl, project: Project, sample: int) -> Rehearsal:
    """Rehearse the pending revisions of `url` on a copy of its schema, and of `sample` rows of each table.

    ConfigurationError if that can't be done. The real database is only read.
    """
    assert url.database is not None
    scripts = project.scripts
    async with create_engine(url, LOOK, **READ_ONLY).connect() as connection:
        start = await connection.run_sync(_look, project)
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
        legs, drift = await _go_all(project, trace, pg_dump, start, schemas)
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


def _look(connection: Connection, project: Project) -> _Start:
    require_unchanged(connection, project.scripts)
    plan = make_plan(connection, project)
    planned, unknown = read_plan(plan)
    major = connection.exec_driver_sql("SELECT current_setting('server_version_num')::int / 10000").scalar_one()
    return _Start(major, list(plan.current), [revision.revision for revision in plan.revisions], planned, unknown)


async def _go_all(
    project: Project, trace: Trace, pg_dump: PgDump, start: _Start, schemas: _Schemas
) -> tuple[list[LegReport], list[str]]:
    """Up, down, and up again, until one fails; and how the schema differs from the models after the first."""
    scratch, config = trace.url, project.config
    schemas.at["before"] = await pg_dump.schema(scratch)
    legs = [await go(Leg.UP, config, trace, start.current)]
    if legs[-1].error:
        return legs, []
    async with create_engine(scratch, LOOK).connect() as connection:
        drift = (await connection.run_sync(compare_with_models, project)).changes
    schemas.at["after up"] = await pg_dump.schema(scratch)
    legs.append(await go(Leg.DOWN, config, trace, start.current))
    if not _is_down(legs) or _not_taken_back(start.pending, trace.ran):
        return legs, drift  # what still exists can't be created again
    schemas.at["after down"] = await pg_dump.schema(scratch)
    schemas.compare("before", "after down", "taken back, the schema is not what it was before")
    legs.append(await go(Leg.UP_AGAIN, config, trace, start.current))
    if not legs[-1].error:
        schemas.at["after up again"] = await pg_dump.schema(scratch)
        schemas.compare("after up", "after up again", "applied again, the schema is not what it was the first time")
    return legs, drift


def _is_down(legs: list[LegReport]) -> bool:
    """Whether the leg down succeeded."""
    return any(leg.leg is Leg.DOWN and not leg.error for leg in legs)


def _not_taken_back(revisions: list[str], ran: list[Ran]) -> list[str]:
    """The revisions whose downgrade does nothing, although they changed more than rows."""
    changed = {
        one.revision for one in ran if one.leg is Leg.UP and one.operation != "backfill" and changes_schema(one.sql)
    }
    undone = {one.revision for one in ran if one.leg is Leg.DOWN}
    return [revision for revision in revisions if revision in changed - undone]


def _compare(start: _Start, ran: list[Ran]) -> list[StatementReport]:
    """Compare both upgrades with the plan; downgrades are not planned, so only what they did is reported."""
    reports = []
    for leg in Leg:
        order = reversed(start.pending) if leg is Leg.DOWN else start.pending
        for revision in order:
            planned = None if leg is Leg.DOWN else start.plan.get(revision)
            reports += compare(planned, [one for one in ran if (one.leg, one.revision) == (leg, revision)])
    return reports
