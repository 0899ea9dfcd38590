"""Drift, as a run sees it: alembic_online/drift says what it is.

Guarantees: whatever fails here is a warning, because all revisions are committed by then, and the app may be started;
with MIGRATOR_DRIFT=fail a run ends with 6 if drift was found, and not for any other reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep

from alembic_online.drift import record
from alembic_online.drift.report import find_drift
from alembic_online.errors import SchemaDrift
from alembic_online.postgres import reason_of
from alembic_online.project import Project
from alembic_online.runs.history import OWN_TABLES
from alembic_online.runs.steps import Steps

log = structlog.get_logger(__name__)


def compare_options(project: Project) -> dict[str, Any]:
    """Alembic's options for every comparison with the models; other schemas and the tool's own tables are left out."""

    def include_name(name: str | None, kind: str, _: object) -> bool:
        if kind == "schema":
            return name is None or name in project.schemas
        return not (kind == "table" and name in OWN_TABLES)

    return {
        "include_name": include_name,
        "include_schemas": bool(project.schemas),
        "compare_server_default": True,
    }


def noting_what_was_there(steps: Steps, project: Project) -> Steps:
    """`steps`, from one revision to another; before the first one, what was changed by hand so far is noted."""

    def run(heads: Any, context: MigrationContext) -> Iterator[RevisionStep | StampStep]:
        assert context.connection is not None
        for number, step in enumerate(steps(heads, context)):
            if number == 0:
                with only_warning(context):
                    record.begin(context.connection, project)
            yield step

    return run


def record_schema(context: MigrationContext, project: Project, *, accept: bool) -> None:
    """Record what the schemas hold after a run; with `accept`, also what was changed by hand before."""
    with only_warning(context):
        record.finish(context, project, accept=accept)


def report_drift(context: MigrationContext, project: Project, *, fail: bool) -> None:
    """Log the drift, if any, and what could not be compared; with `fail`, also raise SchemaDrift."""
    assert context.connection is not None
    with only_warning(context):
        drift = find_drift(context.connection, project)
        if not drift.is_recorded:
            record.finish(context, project, accept=False)
            drift = find_drift(context.connection, project)
        context.connection.rollback()
        if drift.not_compared:
            log.warning("some of the schema could not be compared", reasons=drift.not_compared)
        if drift.changes:
            log.warning("the schema is not as it should be", changes=drift.changes)
        if drift.changes and fail:
            raise SchemaDrift(
                "all revisions are applied, but the schema is not as it should be: undo what was changed by hand, or "
                f"write a revision ({'; '.join(drift.changes)})"
            )


@contextmanager
def only_warning(context: MigrationContext) -> Iterator[None]:
    """Whatever fails in the block is a warning, except for drift itself; no transaction is left open."""
    assert context.connection is not None
    try:
        yield
    except SchemaDrift:
        raise
    except Exception as error:  # noqa: BLE001 - a lost connection, missing rights, models that can't be read
        log.warning("drift could not be looked for", reason=f"{type(error).__name__}: {reason_of(error)}")
        with suppress(Exception):
            context.connection.rollback()
