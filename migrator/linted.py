"""A run begins nothing while there is a finding in one of the revisions that it would apply; see lint."""

from collections.abc import Iterator
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep

from migrator.revisions import Steps


def linted(steps: Steps) -> Steps:
    """`steps`, Alembic's way from one revision to another, once those to be applied are safe; ConfigurationError."""
    safe: set[str] = set()

    def run(heads: Any, context: MigrationContext) -> Iterator[RevisionStep | StampStep]:
        planned = list(steps(heads, context))
        upgrades = [step for step in planned if isinstance(step, RevisionStep) and step.is_upgrade]
        pending = [step.revision.revision for step in upgrades if step.revision.revision not in safe]
        if pending:
            # What takes a while to import, and most runs don't need.
            from migrator.lint import require_safe  # noqa: PLC0415

            assert context.script is not None
            require_safe(context.script, pending)
            safe.update(pending)
        yield from planned

    return run
