"""Lints revisions that tests compose."""

import textwrap
from pathlib import Path

from alembic_online.lint import Finding, lint_revision
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


def lint_body(folder: Path, body: str, header: str = "") -> list[Finding]:
    """The findings in a revision with this body; `header` may, for example, set a phase."""
    own = folder / str(len(list(folder.iterdir())))  # a module is read only once
    own.mkdir()
    (own / "one.py").write_text(REVISION.format(header=header, body=textwrap.indent(textwrap.dedent(body), "    ")))
    return lint_revision(project(own), "one")
