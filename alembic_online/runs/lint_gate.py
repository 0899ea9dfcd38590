"""A run begins nothing while the lint has a finding in one of the revisions that it would apply."""

from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep

from alembic_online.project import Project
from alembic_online.runs.steps import Steps


def gate(steps: Steps, project: Project) -> Steps:
    """`steps` of an upgrade, from one revision to another, if they are safe; otherwise ConfigurationError."""

    def run(heads: Any, context: MigrationContext) -> list[RevisionStep | StampStep]:
        planned = list(steps(heads, context))
        pending = [name for step in planned for name in step.info.up_revision_ids if project.is_linted(name)]
        if pending:
            # Slow to import, and most runs don't need it.
            from alembic_online.lint import require_safe  # noqa: PLC0415

            require_safe(project, pending)
        return planned

    return run
