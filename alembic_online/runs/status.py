"""Where the schema is, and what is wrong with it. Changes nothing."""

from dataclasses import asdict, dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from alembic_online.drift.report import Drift, find_drift
from alembic_online.postgres import reason_of
from alembic_online.project import Project
from alembic_online.runs.contract import safe_from_release
from alembic_online.runs.floor import read_floor
from alembic_online.runs.history import last_moves
from alembic_online.runs.releases import Sessions, count_releases, find_at_work
from alembic_online.runs.workers import Workers

_OURS = "nspname = ANY(CAST(:schemas AS text[]) || current_schema()::text)"
_INVALID_INDEXES = text(
    "SELECT index.oid::regclass::text FROM pg_index JOIN pg_class index ON index.oid = indexrelid"  # noqa: S608
    f" JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE NOT indisvalid AND {_OURS} ORDER BY 1"
)
_NOT_VALIDATED = text(
    "SELECT format('%s on %s', conname, CASE conrelid WHEN 0 THEN contypid::regtype::text"  # noqa: S608
    " ELSE conrelid::regclass::text END) FROM pg_constraint"
    f" JOIN pg_namespace ON pg_namespace.oid = connamespace WHERE NOT convalidated AND {_OURS} ORDER BY 1"
)


@dataclass(frozen=True)
class Move:
    """A revision, and how it was last applied or taken back. Times are ISO 8601, durations seconds."""

    revision: str
    direction: str
    applied_at: str
    seconds: float | None
    waited_seconds: float | None
    attempts: int | None
    applied_by: str | None
    release: str | None


@dataclass(frozen=True)
class Status:
    """Where the schema is. `history` has the newest move of each revision, the newest of all first.

    `contract` has the contract revisions of `pending`, each with the first release of the app that does without what it
    takes away; `floor` is the first release that can work with the schema as it is. `releases` and `workers` have the
    releases at work, each with the number of its sessions and of its workers. `drift` is None if it was not looked for;
    `drift_not_compared` has what could not be compared, with the reasons.
    """

    current: list[str]
    head: list[str]
    pending: list[str]
    contract: dict[str, str]
    floor: str | None
    releases: dict[str, int]
    workers: dict[str, int]
    history: list[Move]
    lock_holder: str | None
    invalid_indexes: list[str]
    constraints_not_validated: list[str]
    drift: list[str] | None
    drift_not_compared: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def read_status(connection: Connection, project: Project, lock_holder: str | None) -> Status:
    """The status of the database behind `connection`, seen from this release."""
    script, history = project.scripts, last_moves(connection)
    schemas = {"schemas": sorted(project.schemas)}
    current = list(MigrationContext.configure(connection).get_current_heads())
    pending = find_pending(connection, script)
    at_work = find_at_work(connection, project.application)
    # While revisions are pending, or this release does not know them all, the models are of another state.
    drift = None if set(current) != set(script.get_heads()) else _look(connection, project)
    return Status(
        current=current,
        head=list(script.get_heads()),
        pending=pending,
        contract={name: release for name in pending if (release := safe_from_release(script.get_revision(name)))},
        floor=read_floor(connection),
        releases=count_releases([found for found in at_work if isinstance(found, Sessions)]),
        workers=count_releases([found for found in at_work if isinstance(found, Workers)]),
        history=[_move(row) for row in history.values()],
        lock_holder=lock_holder,
        invalid_indexes=list(connection.scalars(_INVALID_INDEXES, schemas)),
        constraints_not_validated=list(connection.scalars(_NOT_VALIDATED, schemas)),
        drift=drift.changes if drift else None,
        drift_not_compared=drift.not_compared if drift else [],
    )


def _look(connection: Connection, project: Project) -> Drift:
    try:
        with connection.begin_nested():  # what fails in it ends no more than it
            return find_drift(connection, project)
    except Exception as error:  # noqa: BLE001 - the rest of the status is right all the same
        return Drift(not_compared=[reason_of(error)])


def find_pending(connection: Connection, script: ScriptDirectory) -> list[str]:
    """The revisions of this release that are not applied, the oldest first; empty if the database is ahead."""
    known = [revision.revision for revision in script.walk_revisions()]
    current = MigrationContext.configure(connection).get_current_heads()
    applied = {name for head in current if head in known for name in _lineage(script, head)}
    if not applied:  # the database is ahead, or was never migrated
        applied = {name for name, row in last_moves(connection).items() if row.direction == "upgrade"}
    return [revision for revision in reversed(known) if revision not in applied]


def _lineage(script: ScriptDirectory, revision: str) -> list[str]:
    return [found.revision for found in script.iterate_revisions(revision, "base")]


def _move(row: Any) -> Move:
    return Move(
        revision=row.revision,
        direction=row.direction,
        applied_at=row.applied_at.isoformat(),
        seconds=None if row.duration is None else row.duration.total_seconds(),
        waited_seconds=None if row.waited is None else row.waited.total_seconds(),
        attempts=row.attempts,
        applied_by=row.applied_by,
        release=row.release,
    )
