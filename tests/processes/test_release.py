"""`make release` refuses what is no release, in a line, and changes nothing; tests/stack/test_release.py makes one."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from api import __version__
from tests.checkouts import clone
from tests.python import run

NEXT = "77.0.0"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that could be released, for tests that don't change it."""
    checkout = clone(tmp_path_factory.mktemp("release") / "checkout")
    git(checkout, "branch", "--move", "main")
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("## Unreleased\n", "## Unreleased\n\n- Otters.\n", 1))
    commit(checkout, "Otters")
    return checkout


@pytest.fixture
def checkout(untouched: Path, tmp_path: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", untouched, tmp_path / "checkout"], check=True)
    return tmp_path / "checkout"


def git(checkout: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ngozi", "-c", "user.email=ngozi@zoo.example"]
    return subprocess.check_output(["git", *identity, *arguments], cwd=checkout, text=True)


def commit(checkout: Path, subject: str) -> None:
    git(checkout, "commit", "--quiet", "--all", "--allow-empty", "--message", subject)


def refusal(checkout: Path, version: str = NEXT, **environment: str) -> str:
    """What it says; the commit, the tags and the files are as before."""
    before = git(checkout, "rev-parse", "HEAD"), git(checkout, "tag"), git(checkout, "status", "--porcelain")
    done = run("local.release", version, env=os.environ | {"HOME": "/nowhere"} | environment, cwd=checkout)
    assert done.returncode == 1
    assert done.stdout == ""
    assert (git(checkout, "rev-parse", "HEAD"), git(checkout, "tag"), git(checkout, "status", "--porcelain")) == before
    return re.sub(r"^error: ", "", done.stderr.rstrip("\n"))


def changed(checkout: Path) -> None:
    (checkout / "README.md").write_text("A zoo.\n")


def new(checkout: Path) -> None:
    (checkout / "api" / "new.py").touch()


def half_written(checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text("# Changelog\n")


def elsewhere(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "--create", "otters")


def detached(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "--detach")


def behind(checkout: Path) -> None:
    git(checkout, "reset", "--quiet", "--hard", "HEAD~1")


def a_later_tag(checkout: Path) -> None:
    git(checkout, "tag", "v100.2.0")


def the_same_tag(checkout: Path) -> None:
    git(checkout, "tag", f"v{NEXT}")
    commit(checkout, "More otters")


def nothing_new(checkout: Path) -> None:
    changelog = checkout / "CHANGELOG.md"
    text = re.sub(
        r"(?<=^## Unreleased\n).*?(?=^## )", "\n### Added\n\n", changelog.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    changelog.write_text(text)
    commit(checkout, "No otters")


@pytest.mark.parametrize(
    ("make_it_so", "said"),
    [
        (changed, "not committed: README.md"),
        (new, "not committed: api/new.py"),
        (
            half_written,
            (
                "not committed: CHANGELOG.md; if an interrupted release left them: "
                "git restore --staged --worktree CHANGELOG.md api/__init__.py"
            ),
        ),
        (elsewhere, "this is otters: git switch main"),
        (detached, "this is no branch: git switch main"),
        (behind, "main lacks commits of its upstream: git pull"),
        (a_later_tag, "77.0.0 is not above 100.2.0, the last release: make release VERSION=100.3.0"),
        (
            the_same_tag,
            (
                r"v77.0.0 is the tag of another commit, \w{12}: make release VERSION=77.1.0; "
                "or, to finish its images: git switch --detach v77.0.0"
            ),
        ),
        (nothing_new, "CHANGELOG.md has no changes under `## Unreleased`: say there what is new"),
    ],
)
def test_what_is_in_the_way_is_said_with_what_to_do(
    checkout: Path, make_it_so: Callable[[Path], None], said: str
) -> None:
    make_it_so(checkout)
    assert re.fullmatch(said, refusal(checkout))


@pytest.mark.parametrize(
    "version", ["", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-rc.1", "1.2.x", "1.2.3\n", "१.२.३"]
)
def test_what_is_no_version_is_refused(untouched: Path, version: str) -> None:
    major, minor, _ = __version__.split(".")
    said = f"{version or 'nothing'} is no version: make release VERSION={major}.{int(minor) + 1}.0"
    assert refusal(untouched, version) == said


@pytest.mark.parametrize("version", ["0.0.1", __version__])
def test_a_version_that_is_not_above_the_last_is_refused(untouched: Path, version: str) -> None:
    assert refusal(untouched, version).startswith(f"{version} is not above {__version__}, the last release: ")


def test_somebody_unknown_to_git_is_refused(checkout: Path) -> None:
    git(checkout, "config", "user.useConfigOnly", "true")
    assert "git does not know who you are: git config user.name, and user.email" in refusal(checkout)


def test_without_a_docker_engine_it_does_not_begin(untouched: Path) -> None:
    who = {f"GIT_{role}_{what}": "x@zoo.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    said = refusal(untouched, DOCKER_HOST="unix:///nowhere.sock", **who)
    assert said == "Docker's engine does not answer: make doctor"
