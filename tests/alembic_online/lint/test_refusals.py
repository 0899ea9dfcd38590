"""What keeps a run from beginning: findings, and a squawk that is missing or fails."""

import sysconfig
from pathlib import Path

import pytest

from alembic_online.errors import ConfigurationError
from alembic_online.lint import require_safe
from tests.alembic_online.lint.bodies import REVISION, lint_body
from tests.alembic_online.lint.examples import project

LOCK = '    op.execute("LOCK TABLE animals")\n'


@pytest.mark.parametrize(("count", "more"), [(1, r"needs\. "), (2, r"\(1 more in the log\.\) "), (3, r"\(2 more in")])
def test_the_first_finding_is_told_and_how_many_more_there_are(tmp_path: Path, count: int, more: str) -> None:
    (tmp_path / "one.py").write_text(REVISION.format(header="", body=LOCK * count))
    with pytest.raises(ConfigurationError, match=rf"one\.py:\d+: lock-table: .*{more}"):
        require_safe(project(tmp_path), ["one"])


@pytest.mark.parametrize(
    ("squawk", "said"), [(None, "pip install squawk-cli"), ("echo broken >&2; exit 1", "squawk failed: broken")]
)
def test_without_a_squawk_that_works_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squawk: str | None, said: str
) -> None:
    """The command stands in for a broken installation: squawk itself has no way to fail like that."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    if squawk:
        (scripts / "squawk").write_text(f"#!/bin/sh\n{squawk}\n")
        (scripts / "squawk").chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", {"scripts": str(scripts)}.get)
    monkeypatch.setenv("PATH", str(scripts))
    with pytest.raises(ConfigurationError, match=said):
        lint_body(tmp_path, 'op.execute("SELECT 1")')
