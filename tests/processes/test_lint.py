"""`python -m alembic_online lint`, and the lint before a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.postgres import Server
from tests.conftest import ROOT, alembic
from tests.faults.checkout import checkout_with, lock
from tests.processes.test_history import REVISIONS, UP, history
from tests.python import run

UNSAFE = {
    "column": "op.add_column('animals', sa.Column('wild', sa.Boolean()))",
    "filled": "op.execute('UPDATE animals SET wild = false')\nop.alter_column('animals', 'wild', nullable=False)",
}


def lint(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the lint as in CI: no database is configured."""
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return run("alembic_online", "lint", *arguments, env=environment, cwd=cwd)


@pytest.fixture
def unsafe(tmp_path: Path) -> Path:
    """A checkout whose newest revision is not safe."""
    return checkout_with(tmp_path, **UNSAFE)


class TestCommand:
    def test_says_how_many_revisions_are_safe(self) -> None:
        done = lint()
        assert (done.returncode, done.stdout) == (0, f"{len(REVISIONS)} revisions, nothing found\n"), done.stderr
        assert lint("head").stdout == "1 revision, nothing found\n"

    def test_names_file_line_rule_lock_and_safe_way(self, unsafe: Path) -> None:
        done = lint("column", "filled", cwd=unsafe)
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            (
                "migrator/versions/2099_01_01_0001-filled.py:7: unbatched-change: changes every row of animals in one "
                'go, each locked until the revision is committed. op.backfill("animals", {"wild": "false"}) changes '
                "rows in small batches, each committed by itself, alone in its revision."
            ),
            (
                "migrator/versions/2099_01_01_0001-filled.py:8: blocking-scan: takes ACCESS EXCLUSIVE on animals, and "
                "reads and writes wait while every row is checked: SET NOT NULL looks for NULLs in wild. Use "
                'op.set_not_null_online("animals", "wild"), alone in its revision.'
            ),
        ]
        assert lint("column", cwd=unsafe).returncode == 0

    def test_is_json_when_asked(self, unsafe: Path) -> None:
        found = json.loads(lint("--format", "json", "filled", cwd=unsafe).stdout)
        assert [(each["revision"], each["line"], each["rule"]) for each in found] == [
            ("filled", 7, "unbatched-change"),
            ("filled", 8, "blocking-scan"),
        ]
        assert set(found[0]) == {"revision", "path", "line", "rule", "what", "safe_way"}
        assert lint("--format", "json", "head").stdout == "[]\n"

    def test_names_a_revision_that_there_is_not(self) -> None:
        done = lint("nonsense")
        assert done.returncode == 3
        assert "nonsense" in done.stderr

    def test_is_annotations_of_a_pull_request_when_asked(self, unsafe: Path) -> None:
        done = lint("--format", "github", "filled", cwd=unsafe)
        assert done.returncode == 1
        first, second = done.stdout.splitlines()
        file = "migrator/versions/2099_01_01_0001-filled.py"
        assert first.startswith(f"::error file={file},line=7,title=unbatched-change::changes every row of animals")
        assert second.startswith(f"::error file={file},line=8,title=blocking-scan::takes ACCESS EXCLUSIVE on animals")
        assert lint("--format", "github", "head").stdout == ""

    def test_explains_a_rule(self) -> None:
        done = lint("--explain", "blocking-scan")
        assert done.returncode == 0, done.stderr
        assert "op.set_not_null_online(" in done.stdout
        unknown = lint("--explain", "blocking-scam")
        assert unknown.returncode == 3
        assert "blocking-scan" in unknown.stderr


class TestWhatABranchChanges:
    def git(self, folder: Path, *arguments: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@zoo.example"]
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    @pytest.fixture
    def branch(self, unsafe: Path) -> Path:
        """A branch made from `other`, which already has the unsafe revisions."""
        self.git(unsafe, "init", "--initial-branch", "main")
        self.git(unsafe, "add", "--all")
        self.git(unsafe, "commit", "--message", "unsafe")
        self.git(unsafe, "branch", "other")
        return unsafe

    def test_is_nothing_where_it_is_as_the_other(self, branch: Path) -> None:
        done = lint("--diff-base", "other", cwd=branch)
        assert (done.returncode, done.stdout) == (0, "0 revisions, nothing found\n"), done.stderr

    @pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
    def test_is_what_is_new_and_what_is_edited(self, branch: Path, committed: bool) -> None:
        versions = branch / "migrator" / "versions"
        column, filled = sorted(versions.glob("2099_*.py"))
        column.write_text(column.read_text() + "# edited\n")
        text = filled.read_text().replace('"filled"', '"more"').replace('"column"', '"filled"')
        (versions / "2099_01_02_0000-more.py").write_text(text)
        if committed:
            self.git(branch, "add", "--all")
            self.git(branch, "commit", "--quiet", "--message", "more")
        found = json.loads(lint("--format", "json", "--diff-base", "other", cwd=branch).stdout)
        assert {each["revision"] for each in found} == {"more"}
        assert lint("--diff-base", "other", "column", cwd=branch).stdout == "1 revision, nothing found\n"

    def test_can_not_be_told_where_the_other_is_not_there(self, branch: Path) -> None:
        done = lint("--diff-base", "origin/main", cwd=branch)
        assert done.returncode == 3
        assert "git can't tell what has changed" in done.stderr


class TestBeforeARun:
    async def test_nothing_is_begun_while_a_pending_revision_is_not_safe(
        self, server: Server, database: str, unsafe: Path
    ) -> None:
        environment = {**server.environment(database), "LOG_FORMAT": "json"}
        refused = alembic(environment, "upgrade", "head", cwd=unsafe)
        assert refused.returncode == 3
        lines = [json.loads(line) for line in refused.stderr.splitlines()]
        (all_of_them,) = (line["findings"] for line in lines if "findings" in line)
        assert [each.split(": ")[1] for each in all_of_them] == ["unbatched-change", "blocking-scan"]
        assert lines[-1]["reason"].startswith(all_of_them[0])
        assert await history(server, database) == UP
        # What comes before it can be applied.
        assert alembic(environment, "upgrade", "column", cwd=unsafe).returncode == 0

    async def test_what_is_waived_is_run(self, server: Server, database: str, tmp_path: Path) -> None:
        checkout = checkout_with(tmp_path, locked=lock("animals"))
        assert alembic(server.environment(database), "upgrade", "head", cwd=checkout).returncode == 0
        assert await history(server, database) == [*UP, ("locked", "upgrade")]

    def test_a_run_that_finds_nothing_to_do_does_not_load_the_lint(self, server: Server, database: str) -> None:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env=os.environ | server.environment(database),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "nothing to do" in done.stderr
        assert "alembic_online.runs.lint_gate" in done.stderr
        assert "alembic_online.lint\n" not in done.stderr
        assert "postgast" not in done.stderr
