"""deploy/release at work, and images of further releases for it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.processes.pgbouncer import newest
from tests.stack.stack import PREFIX, RELEASE, Stack, docker

PGBOUNCER = "/usr/local/lib/pgbouncer-testing"
BASE_OF_PGBOUNCER = "zoo-tests-pgbouncer"


def build_release(release: str, folder: Path, *, api: str = "", migrator: str = "") -> None:
    """Build the images of a release upon the tests' own: with these further lines, and what they copy of the folder."""
    for target, more in (("api", api), ("migrator", migrator)):
        lines = [f"FROM {PREFIX}{target}:{RELEASE}", f"ENV RELEASE={release}"]
        lines += [f"LABEL org.opencontainers.image.version={release}", more]
        docker("build", "--tag", f"{PREFIX}{target}:{release}", "--file", "-", str(folder), input="\n".join(lines))


def remove_releases(*releases: str) -> None:
    """Remove the images of these releases."""
    docker(
        "image", "rm", "--force", *(f"{PREFIX}{target}:{name}" for name in releases for target in ("api", "migrator"))
    )


def base_of_pgbouncer() -> dict[str, str]:
    """The setting that names the base of the pooler's image.

    It is built of the PgBouncer that .ci/pgbouncer has installed, in place of the official image.
    """
    program = Path(newest())
    if program.name != "pgbouncer-testing" and not os.environ.get("CI"):
        pytest.skip("no PgBouncer of Debian testing on this machine: bash .ci/pgbouncer")
    starts = f'COPY --chmod=755 <<"END" /usr/bin/pgbouncer\n{program.read_text()}END'
    lines = ["FROM debian:trixie-slim", f"COPY . {PGBOUNCER}", starts]
    docker("build", "--tag", BASE_OF_PGBOUNCER, "--file", "-", PGBOUNCER, input="\n".join(lines))
    return {"PGBOUNCER_IMAGE": BASE_OF_PGBOUNCER}


def build_pgbouncer() -> None:
    """Build the pooler's image."""
    stack = Stack()
    stack.environment |= base_of_pgbouncer()
    stack.compose("--profile", "pgbouncer", "build", "pgbouncer")


class Deployment:
    """deploy/release at work on a stack, as a process with children of its own."""

    def __init__(self, stack: Stack, *arguments: str, **settings: str) -> None:
        self.process = subprocess.Popen(
            [ROOT / "deploy" / "release", *arguments],
            env=stack.environment | stack.names | {"LOG_FORMAT": "text", "READY_SECONDS": "600"} | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said = ""

    def until(self, moment: str) -> None:
        """Wait until it has said so; AssertionError if it ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if moment in line:
                return
        pytest.fail(f"{moment!r} was not said:\n{self.said}")

    def kill(self, *, with_children: bool) -> None:
        if with_children:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def end(self) -> tuple[int, str]:
        """Its exit code, and all that it has said."""
        try:
            self.said += self.process.communicate(timeout=900)[0]
        except subprocess.TimeoutExpired:
            self.kill(with_children=True)
            raise
        return self.process.returncode, self.said


def deploy(stack: Stack, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run deploy/release to its end."""
    return Deployment(stack, *arguments, **settings).end()
