"""A run begins nothing while the lint has a finding in one of the revisions that it would apply."""

from collections.abc import Iterator
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep

from alembic_online.project import Project
from alembic_online.runs.steps import Steps


def gate(steps: Steps, project: Project) -> Steps:
    """`steps`, from one revision to another, if those to be applied are safe; otherwise ConfigurationError."""
    safe: set[str] = set()

    def run(heads: Any, context: MigrationContext) -> Iterator[RevisionStep | StampStep]:
        planned = list(steps(heads, context))
        upgrades = [step for step in planned if isinstance(step, RevisionStep) and step.is_upgrade]
        new = [step.revision.revision for step in upgrades if step.revision.revision not in safe]
        pending = [revision for revision in new if project.is_linted(revision)]
        if pending:
            # Slow to import, and most runs don't need it.
            from alembic_online.lint import require_safe  # noqa: PLC0415

            require_safe(project, pending)
            safe.update(pending)
        yield from planned

    return run
