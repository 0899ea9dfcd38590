"""Lints revisions that tests compose."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from alembic_online.lint import Finding, lint_revisions
from tests.alembic_online.lint.examples import project

CONTRACT = 'phase = "contract"\nsafe_from_release = "0.4.0"\n'
REVISION = '''"""A revision."""

import sqlalchemy as sa
from alembic import op

revision = "one"
down_revision = None
{header}

def upgrade() -> None:
{body}
'''


def lint_body(folder: Path, body: str) -> list[Finding]:
    """The findings in a revision with this body."""
    (found,) = lint_bodies(folder, [("", body)])
    return found


def lint_bodies(folder: Path, revisions: Sequence[tuple[str, str]]) -> list[list[Finding]]:
    """The findings in each of these revisions, of a header, which may set a phase, and a body.

    For all at once, because that takes one run of squawk.
    """
    own = folder / str(len(list(folder.iterdir())))  # a module is read only once
    own.mkdir()
    for number, (header, body) in enumerate(revisions):
        text = REVISION.format(header=header, body=textwrap.indent(textwrap.dedent(body), "    "))
        (own / f"{number}.py").write_text(text.replace('revision = "one"', f'revision = "{number}"', 1))
    found: list[list[Finding]] = [[] for _ in revisions]
    for finding in lint_revisions(project(own), [str(number) for number in range(len(revisions))]):
        found[int(finding.revision)].append(finding)
    return found
