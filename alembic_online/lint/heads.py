"""Several newest revisions: two branches have each added one, and were merged without a conflict."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from alembic.script import Script

from alembic_online.lint.finding import Finding, Problem
from alembic_online.lint.source import line_of
from alembic_online.project import Project


def find_heads(project: Project, revisions: Sequence[Script]) -> Iterator[Finding]:
    """A finding for each of these revisions that is not the only newest one. Labelled branches are meant."""
    heads = project.scripts.get_revisions("heads")
    unlabelled = [script for script in heads if script is not None and not script.branch_labels]
    if len(heads) < 2 or not unlabelled:  # noqa: PLR2004 - one is as it should be
        return
    names = sorted(script.revision for script in heads if script is not None)
    for script in revisions:
        if script in unlabelled:
            others = [name for name in names if name != script.revision]
            line = line_of(ast.parse(Path(script.path).read_bytes()), "down_revision")
            problem = Problem(
                "heads",
                line,
                f"is one of {len(names)} newest ones, beside {' and '.join(others)}: `upgrade head` does nothing",
                f'Write down_revision = "{others[0]}", if no database has this one yet; or merge them, '
                f"alembic merge -m merge {' '.join(names)}",
            )
            yield Finding.of(script, problem)
