"""docs/upgrading.md: a project that was made from an older version of this repository takes a newer one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checkouts import clone
from tests.conftest import ROOT

BACK = 30  # commits
DOCUMENT = (ROOT / "docs" / "upgrading.md").read_text()
(NAME,) = set(re.findall(r"make rename NAME=(\w+)", DOCUMENT))
GIT = {f"GIT_{who}_{what}": f"a@{who}.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(folder: Path, command: str) -> str:
    # The renaming alone: make would install the requirements of the checkout.
    command = command.replace("make rename NAME=", ".venv/bin/python -m local.rename ")
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=os.environ | GIT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def commands(heading: str) -> list[str]:
    """The commands of the first block below a heading."""
    block = re.search(r"```console\n(.*?)```", DOCUMENT.partition(f"## {heading}\n")[2], re.DOTALL)
    assert block is not None
    return re.findall(r"^\$ (.*)$", block[1], re.MULTILINE)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """This project's repository, at an older version, with the command of today that renames it."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    history = subprocess.check_output(["git", "rev-list", f"--max-count={BACK}", "HEAD"], cwd=ROOT, text=True).split()
    archive = subprocess.check_output(["git", "archive", history[-1]], cwd=ROOT)
    subprocess.run(["tar", "--extract"], input=archive, cwd=folder, check=True)
    shutil.copy(ROOT / "local" / "rename.py", folder / "local")
    for command in ("git init --quiet --initial-branch main", "git add --all", "git commit --quiet --message older"):
        run(folder, command)
    return folder


def release(repository: Path, tmp_path: Path) -> None:
    """Commit today's version in the repository."""
    newest = clone(tmp_path / "newest")
    run(repository, "git rm -rq .")
    shutil.rmtree(newest / ".git")
    shutil.copytree(newest, repository, dirs_exist_ok=True)
    run(repository, "git add --all && git commit --quiet --message newer")


def test_a_renamed_project_with_changes_of_its_own_takes_a_newer_version(repository: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    run(tmp_path, f"git clone --quiet {repository} {project}")
    (project / ".venv").symlink_to(ROOT / ".venv")
    for command in commands("Once, in a fresh clone"):
        run(project, command)
    (project / "api" / "models" / "books.py").write_text('"""Books."""\n')
    readme = project / "README.md"
    readme.write_text(readme.read_text() + "\nBooks, too.\n")
    run(project, "git rm -q docs/speed.md && git add --all && git commit --quiet --message 'books, and no speed.md'")

    release(repository, tmp_path)
    *before, merge = commands("For each version")
    for command in before:
        run(project, command)
    run(project, f"{merge} || true")
    # What was removed, and has changed in the newer version, is removed again: that is the only kind of conflict here.
    for line in run(project, "git status --porcelain").splitlines():
        if line.startswith("DU "):
            run(project, f"git rm --quiet {line[3:]}")
    run(project, "git commit --quiet --all --message merged || true")

    assert run(project, "git status --short") == ""
    assert (project / "api" / "models" / "books.py").exists()
    assert not (project / "docs" / "speed.md").exists()
    assert readme.read_text().endswith("\nBooks, too.\n")
    assert readme.read_text().startswith(f"# {NAME}\n")
    # All else is the newer version, under the project's name.
    expected = tmp_path / "newest"
    clone(expected)
    (expected / ".venv").symlink_to(ROOT / ".venv")
    run(expected, f"make rename NAME={NAME}")
    differing = run(expected, f"git diff --no-index --name-only . {project} || true").split()
    own = {"README.md", "books.py", "speed.md", "null"}  # which stands for a file that one does not have
    unknown = re.compile(r"/\.(git|venv|ruff_cache)\b|__pycache__")
    assert {Path(name).name for name in differing if not unknown.search(name)} <= own
