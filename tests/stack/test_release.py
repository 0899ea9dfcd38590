"""`make release`, in a clone with a remote."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tests.checkouts import copy_checkout
from tests.rounds import ROUNDS
from tests.stack.deployments import base_of_pgbouncer
from tests.stack.stack import docker

VERSION = f"0.{int(uuid4()) % 10**9 + 10**9}.0"  # nobody has images of it
TAG = f"v{VERSION}"
CHANGES = "### Added\n- Otters.\n"
SYFT = {} if ROUNDS == "full" else {"SYFT_FILE_METADATA_SELECTION": "none"}  # no digest of each file


def git(checkout: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=checkout, text=True).rstrip("\n")


def make_release(checkout: Path, version: str = VERSION, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "--silent", "release", f"VERSION={version}"],
        cwd=checkout, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, images: list[str]) -> Iterator[Path]:  # noqa: ARG001 - an engine
    """A clone of a remote, with changes that are not released."""
    folder = tmp_path_factory.mktemp("release")
    checkout = copy_checkout(folder / f"zoo-{uuid4().hex[:8]}")
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(
        re.sub(
            r"(?<=^## Unreleased\n).*?(?=^## )", f"\n{CHANGES}\n", changelog.read_text(), flags=re.MULTILINE | re.DOTALL
        )
    )
    for name, value in (("user.name", "Ngozi"), ("user.email", "ngozi@zoo.example")):
        git(checkout, "config", name, value)
    # `make check` is as it is, but for what mypy takes half a minute to read, or some seconds with what that imports.
    project = checkout / "pyproject.toml"
    project.write_text(re.sub(r"^packages = .*", 'packages = ["api.enums"]', project.read_text(), flags=re.MULTILINE))
    # The two images that take most to list are left out, because they are listed as the others are.
    if ROUNDS != "full":
        stack = checkout / "docker-compose.yml"
        stack.write_text(
            re.sub(r"    build:\n +context: \.\n +target: (db|storage)\n +args: .*\n", "", stack.read_text())
        )
    git(checkout, "branch", "--move", "main")
    git(checkout, "commit", "--quiet", "--all", "--message", "Otters")
    subprocess.run(["git", "init", "--quiet", "--bare", folder / "remote.git"], check=True)
    git(checkout, "remote", "add", "origin", str(folder / "remote.git"))
    git(checkout, "push", "--quiet", "--set-upstream", "origin", "main")
    yield checkout
    listed = checkout / "dist" / VERSION / "images.txt"
    if listed.exists():
        docker("image", "rm", "--force", *(line.split()[0] for line in listed.read_text().splitlines()))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A key pair of cosign's, in the environment; nothing where there is no cosign."""
    if not shutil.which("cosign"):
        return {}
    folder = tmp_path_factory.mktemp("key")
    environment = {"COSIGN_PASSWORD": "a giraffe in the rain", "COSIGN_KEY": str(folder / "cosign.key")}
    command = ["cosign", "generate-key-pair"]
    subprocess.run(command, cwd=folder, env=os.environ | environment, check=True, capture_output=True)
    return environment


@dataclass(frozen=True)
class Released:
    """What was printed when it could not be built, and then when it could."""

    unbuilt: str
    printed: str


@pytest.fixture(scope="module")
def released(checkout: Path, key: dict[str, str]) -> Released:
    """A release that was killed when it had its tag, and made again: without the base of its images, and with it."""
    log, key = checkout.with_suffix(".log"), key | base_of_pgbouncer() | SYFT
    with log.open("w") as output, subprocess.Popen(
        ["make", "--silent", "release", f"VERSION={VERSION}"], cwd=checkout, start_new_session=True,
        env=os.environ | key, stdout=output, stderr=output,
    ) as first:  # fmt: skip
        while not git(checkout, "tag"):
            assert first.poll() is None, log.read_text()
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)
    unbuilt = make_release(checkout, **key, PYTHON_IMAGE="127.0.0.1:1/python:1")
    assert unbuilt.returncode != 0
    done = make_release(checkout, **key)
    assert done.returncode == 0, done.stdout + done.stderr
    return Released(unbuilt.stderr, done.stdout)


def test_a_failing_check_is_refused_and_nothing_is_changed(checkout: Path) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    (checkout / "api" / "unused.py").write_text("import os\n")
    git(checkout, "add", "api/unused.py")
    git(checkout, "commit", "--quiet", "--message", "Unused")
    done = make_release(checkout)
    assert done.returncode != 0
    assert "api/unused.py" in done.stdout
    assert "error: make check fails: see above" in done.stderr
    assert git(checkout, "status", "--porcelain") == git(checkout, "tag") == ""
    assert git(checkout, "log", "--max-count=1", "--format=%s") == "Unused"
    git(checkout, "reset", "--quiet", "--hard", before)


@pytest.mark.usefixtures("released")
class TestKilledHalfWay:
    def test_it_goes_on_to_one_commit_and_one_tag_and_pushes_nothing(self, checkout: Path) -> None:
        assert git(checkout, "status", "--porcelain") == ""
        assert git(checkout, "log", "--format=%s", "origin/main..HEAD") == f"Release {VERSION}"
        assert git(checkout, "show", "HEAD:api/__init__.py").endswith(f'__version__ = "{VERSION}"')
        released = f"## Unreleased\n\n## {VERSION} - {datetime.now(UTC).date()}\n\n{CHANGES}\n## "
        assert released in git(checkout, "show", "HEAD:CHANGELOG.md")
        assert git(checkout, "rev-list", "--max-count=1", TAG) == git(checkout, "rev-parse", "HEAD")
        assert git(checkout, "cat-file", "-t", TAG) == "tag"
        assert "- Otters." in git(checkout, "tag", "--list", "--format=%(contents)", TAG)
        assert TAG not in git(checkout, "ls-remote", "origin")
        assert git(checkout, "ls-remote", "origin", "main").startswith(git(checkout, "rev-parse", "HEAD~1"))

    def test_its_images_are_of_that_commit_and_listed_with_what_they_consist_of(self, checkout: Path) -> None:
        folder = checkout / "dist" / VERSION
        images = dict(line.split() for line in (folder / "images.txt").read_text().splitlines())
        assert {"api", "migrator", "proxy", "pgbouncer"} <= {re.sub(r".*-|:.*", "", name) for name in images}
        for image, identity in images.items():
            config = json.loads(docker("image", "inspect", identity))[0]["Config"]
            if "-api:" in image or "-migrator:" in image:
                assert image.endswith(f":{VERSION}")
                assert f"RELEASE={VERSION}" in config["Env"]
                assert config["Labels"]["org.opencontainers.image.revision"] == git(checkout, "rev-parse", "HEAD")
            sbom = json.loads((folder / f"{image.rpartition('/')[2].replace(':', '-')}.spdx.json").read_text())
            packages = {package["name"] for package in sbom["packages"]}
            assert "libc6" in packages
            assert ("fastapi" in packages, "alembic" in packages) == ("-api:" in image, "-migrator:" in image)

    def test_the_checksums_are_of_all_files_and_signed(self, checkout: Path, key: dict[str, str]) -> None:
        folder = checkout / "dist" / VERSION
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
        summed = {line.split()[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
        assert summed == {path.name for path in folder.iterdir()} - {"SHA256SUMS", "SHA256SUMS.sigstore.json"}
        if not key:
            pytest.skip("cosign is not installed")
        verify = [
            "cosign", "verify-blob", "--insecure-ignore-tlog", "--key", key["COSIGN_KEY"].replace(".key", ".pub"),
            "--bundle", "SHA256SUMS.sigstore.json",
        ]  # fmt: skip
        subprocess.run([*verify, "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
        assert subprocess.run([*verify, "images.txt"], cwd=folder, check=False, capture_output=True).returncode != 0

    def test_a_build_that_fails_says_how_to_go_on_and_how_to_take_it_back(self, released: Released) -> None:
        assert f"To go on: make release VERSION={VERSION}" in released.unbuilt
        undo = f"To take it back, while nothing is pushed: git tag --delete {TAG} && git reset --keep HEAD~1"
        assert undo in released.unbuilt

    def test_what_it_prints_pushes_and_takes_back(self, checkout: Path, released: Released) -> None:
        (push,) = re.findall(r"^  (git push .+)$", released.printed, re.MULTILINE)
        assert len(re.findall(r"^  docker push \S+$", released.printed, re.MULTILINE)) >= 3
        subprocess.run(push, shell=True, cwd=checkout, check=True, capture_output=True)
        assert f"refs/tags/{TAG}" in git(checkout, "ls-remote", "origin")
        (undo,) = re.findall(r"^To take it back, while nothing is pushed: (.+)$", released.printed, re.MULTILINE)
        subprocess.run(undo, shell=True, cwd=checkout, check=True, capture_output=True)
        assert git(checkout, "tag") == git(checkout, "status", "--porcelain") == ""
        assert git(checkout, "log", "--max-count=1", "--format=%s") == "Otters"
