"""The stack of deploy/swarm on a swarm of this machine alone, made as docs/swarm.md says."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.rounds import POOL_TIMEOUT
from tests.stack.stack import PREFIX, RELEASE, Stack, docker, run_docker

STACK = PREFIX.rstrip("-")  # which the names of the images begin with, too
MADE_BY = "made-by-tests"  # the node's label, with the id of their process
NODE = ("node", "inspect", "self", "--format")
DOCUMENT = (ROOT / "docs" / "swarm.md").read_text()


class Swarm(Stack):
    """Services and their containers in place of Compose's."""

    def __init__(self, folder: Path) -> None:
        """`folder` becomes what the document's reader has."""
        self.folder = folder
        (folder / "deploy").symlink_to(ROOT / "deploy")
        (folder / "secrets").mkdir()
        (folder / "secrets" / "smtp_password").write_text("a giraffe in the rain")
        super().__init__(
            STACK=STACK,
            PROXY_RELEASE=RELEASE,
            SMTP_URL="smtp://zoo@127.0.0.1:1",
            MAIL_FROM="zoo@zoo.example",
            S3_UPLOAD_URL="",  # no storage
            DATABASE_POOL_TIMEOUT=POOL_TIMEOUT,
            DATABASE_CONNECT_TIMEOUT=POOL_TIMEOUT,
        )

    @property
    def names(self) -> dict[str, str]:
        """Nothing more than the environment has."""
        return {}

    def follow(self, section: str, **settings: str) -> None:
        """Run the commands of a section, but for those that make a swarm, choose names, wait, and ask who you are."""
        commands = re.findall(r"^\$ (.*)", DOCUMENT.split(f"\n## {section}\n")[1].split("\n## ")[0], re.MULTILINE)
        left_out = ("docker swarm init", "export ", "until curl", "docker exec -it", "docker compose")
        script = "\n".join(command for command in commands if not command.startswith(left_out))
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def container(self, service: str) -> str:
        """The id of one of the service's containers that run."""
        ours = f"label=com.docker.swarm.service.name={STACK}_{service}"
        return docker("ps", "--quiet", "--filter", ours).split()[0]

    def serves(self) -> bool:
        try:
            return self.get("/exhibits").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def image(self, service: str) -> str:
        """The image that the service is to run."""
        found = docker(
            "service", "inspect", f"{STACK}_{service}", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
        )
        return found.strip()


@contextmanager
def swarm(folder: Path) -> Iterator[Swarm]:
    """A new stack that serves; at the end, whatever happened, the engine is as it was before."""
    leave_if_left_over()
    stack = Swarm(folder)
    try:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
        docker("node", "update", "--label-add", f"{MADE_BY}={os.getpid()}", docker(*NODE, "{{.ID}}").strip())
        stack.follow("The first release")
        deadline = time.monotonic() + 600
        while not stack.serves():
            assert time.monotonic() < deadline, run_docker("service", "logs", f"{STACK}_api", check=False).stdout
            time.sleep(0.5)
        yield stack
    finally:
        leave(STACK)


def leave_if_left_over() -> None:
    """Take down a swarm that killed tests have left; of any other, which is not the tests' to change, say so."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive\n":
        return
    made_by = run_docker(*NODE, f'{{{{index .Spec.Labels "{MADE_BY}"}}}}', check=False).stdout.strip()
    if made_by.isdigit() and not Path(f"/proc/{made_by}").exists():
        leave(*docker("stack", "ls", "--format", "{{.Name}}").split())
        return
    reason = "this engine is in a swarm already, which is not the tests' to change"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def leave(*stacks: str) -> None:
    """Remove these stacks with their data, and the swarm."""
    for stack in stacks:
        run_docker("stack", "rm", stack, check=False)
        ours = ["--quiet", "--all", "--filter", f"label=com.docker.stack.namespace={stack}"]
        while there := docker("ps", *ours).split():
            run_docker("rm", "--force", *there, check=False)
    run_docker("swarm", "leave", "--force", check=False)
    run_docker("volume", "rm", *(f"{stack}_db" for stack in stacks), check=False)
    run_docker("network", "rm", "docker_gwbridge", check=False)
