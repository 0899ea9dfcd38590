"""Whether this release may be rolled out, and whether it is: what a release command asks, on every platform."""

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from alembic_online.project import Project
from alembic_online.runs.floor import require_not_below_floor
from alembic_online.runs.history import is_ahead
from alembic_online.runs.phases import require_no_jump, require_nothing_behind, split_by_phase
from alembic_online.runs.releases import find_at_work
from alembic_online.runs.status import find_pending


def require_rollout(connection: Connection, project: Project) -> None:
    """The error with which a run with MIGRATOR_PHASE=expand would be refused, if so: see floor.py and phases.py."""
    require_not_below_floor(connection, project)
    has_revisions = MigrationContext.configure(connection).get_current_heads()
    if not has_revisions or is_ahead(connection, project.scripts):
        return
    pending = [project.scripts.get_revision(name) for name in find_pending(connection, project.scripts)]
    due, waiting = split_by_phase(pending, "expand")
    require_nothing_behind(due, waiting)
    require_no_jump(connection, project, waiting)


def find_others(connection: Connection, project: Project) -> str | None:
    """Why this release is not, or not alone, at work; None if it is."""
    at_work = find_at_work(connection, project.application)
    others = [str(found) for found in at_work if found.release != project.release]
    if others:
        return f"others than release {project.release} of the app are at work: {', '.join(others)}"
    return None if at_work else f"release {project.release} of the app is not at work"
