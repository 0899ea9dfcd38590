"""The stack of deploy/swarm on a swarm of this machine alone, made as docs/swarm.md says."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import PASSWORD, ROOT
from tests.stack.stack import PATIENCE, PREFIX, RELEASE, Stack, docker, run_docker

STACK = PREFIX.rstrip("-")  # which the names of the images begin with, too
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
        )

    @property
    def names(self) -> dict[str, str]:
        """Nothing more than the environment has."""
        return {}

    def follow(self, section: str, **settings: str) -> None:
        """Run the commands of a section, but for those that make a swarm, choose names, and create a user."""
        commands = re.findall(r"^\$ (.*)", DOCUMENT.split(f"\n## {section}\n")[1].split("\n## ")[0], re.MULTILINE)
        left_out = ("docker swarm init", "export ", "docker exec -it")
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

    def admin(self, email: str) -> dict[str, str]:
        self.exec("api", "python3", "-m", "api", "create-user", email, "--type", "admin", stdin=PASSWORD)
        form = {"username": email, "password": PASSWORD}
        signed_in = httpx.post(f"{self.address}/auth/jwt/login", data=form, timeout=PATIENCE).raise_for_status()
        return {"Authorization": f"Bearer {signed_in.json()['access_token']}"}

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
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive\n":
        pytest.skip("this engine is in a swarm already, which is not the tests' to change")
    stack = Swarm(folder)
    try:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
        stack.follow("The first release")
        deadline = time.monotonic() + 600
        while not stack.serves():
            assert time.monotonic() < deadline, run_docker("service", "logs", f"{STACK}_api", check=False).stdout
            time.sleep(0.5)
        yield stack
    finally:
        run_docker("stack", "rm", STACK, check=False)
        ours = ["--quiet", "--all", "--filter", f"label=com.docker.stack.namespace={STACK}"]
        while there := docker("ps", *ours).split():
            run_docker("rm", "--force", *there, check=False)
        run_docker("swarm", "leave", "--force", check=False)
        run_docker("volume", "rm", f"{STACK}_db", check=False)
        run_docker("network", "rm", "docker_gwbridge", check=False)
