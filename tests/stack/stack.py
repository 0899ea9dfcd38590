"""A Compose stack under a name and on a port of its own."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.conftest import PASSWORD, ROOT, find_free_port

RELEASE = f"test-{uuid4().hex[:8]}"
PREFIX = f"zoo-{RELEASE}-"
RELEASED = [f"{PREFIX}{target}:{RELEASE}" for target in ("api", "migrator", "proxy")]
IMAGES = [f"{PREFIX}db:18", f"{PREFIX}storage:seaweedfs", *RELEASED]
HERE = ROOT / "tests" / "stack"
REPLICAS = ROOT / "docker-compose.replicas.yml"
IPTABLES = "zoo-tests-iptables"


class Stack:
    """`docker compose` on one project, and the address where its api is published."""

    def __init__(self, *files: Path, root: Path = ROOT, env_file: Path | None = None, **settings: str) -> None:
        self.project = f"zoo-{uuid4().hex[:12]}"
        self.root, self.env_file = root, env_file
        replicas = [HERE / "images-replicas.yml"] if REPLICAS in files else []
        self.files = (root / "docker-compose.yml", HERE / "images.yml", *files, *replicas)
        self.port, self.storage_port = find_free_port(), find_free_port()
        self.was_changed = False
        self.address = f"http://127.0.0.1:{self.port}"
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = {
            **clean,
            "RELEASE": RELEASE,
            "IMAGES": PREFIX,
            "API_PORT": str(self.port),
            "STORAGE_PORT": str(self.storage_port),
            "S3_UPLOAD_URL": f"http://127.0.0.1:{self.storage_port}",
            **settings,
        }

    def compose(self, *arguments: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose ARGUMENTS`; with `check`, to success."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            **options,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def command(self, *arguments: str) -> list[str]:
        files = [part for file in self.files for part in ("--file", str(file))]
        return [
            "docker",
            "compose",
            "--project-name",
            self.project,
            "--project-directory",
            str(self.root),
            *files,
            *(["--env-file", str(self.env_file)] if self.env_file else []),
            *arguments,
        ]

    def container(self, service: str) -> str:
        """The id of the service's container, running or not."""
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """What Docker says about the service's container."""
        found: list[dict[str, Any]] = json.loads(docker("inspect", self.container(service)))
        return found[0]

    def sql(
        self, role: str, statement: str, check: bool = True, database: str = "zoo"
    ) -> "subprocess.CompletedProcess[str]":
        """Run a statement by psql as `role`: by network and password, like the services; the superuser by socket."""
        login = ["--username=postgres"] if role == "postgres" else [f"--username={role}", "--host=db"]
        login.append(f"--dbname={database}")
        return self.compose(
            "exec", "--no-TTY", "--env", f"PGPASSWORD={role}", "db",
            "psql", "--no-psqlrc", "--no-align", "--tuples-only", *login, f"--command={statement}",
            check=check,
        )  # fmt: skip

    def admin(self, email: str) -> dict[str, str]:
        """Create an admin, as people do; returns the header with which that user is signed in."""
        command = ["make", "--silent", "admin", f"EMAIL={email}"]
        names = {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_FILE": ":".join(map(str, self.files))}
        environment = self.environment | names
        done = subprocess.run(
            command, cwd=ROOT, env=environment, input=PASSWORD, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stdout == f"{email} is a user of type admin\n", done.stderr
        form = {"username": email, "password": PASSWORD}
        signed_in = httpx.post(f"{self.address}/auth/jwt/login", data=form, timeout=10).raise_for_status()
        return {"Authorization": f"Bearer {signed_in.json()['access_token']}"}

    @cached_property
    def signed_in(self) -> dict[str, str]:
        """The header with which the stack's admin is signed in."""
        return self.admin("admin@zoo.example")

    def client(self) -> httpx.Client:
        """A client of the api, signed in as the admin; the caller closes it."""
        return httpx.Client(base_url=self.address, timeout=10, headers=self.signed_in)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """The api's answer without a sign-in."""
        return httpx.get(f"{self.address}{path}", timeout=10, **options)

    def is_ready(self) -> bool:
        """Whether the api serves; not, while nothing listens."""
        try:
            return self.get("/health/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def make_intact(self) -> None:
        """Make all services run as in a new stack, except those that have run to their ends."""
        running = set(self.compose("ps", "--services", "--status", "running").stdout.split())
        wanted = set(self.compose("config", "--services").stdout.split()) - {"migrator", "buckets"}
        if self.was_changed or running != wanted or self.get("/exhibits").status_code != httpx.codes.OK:
            self.compose("up", "--detach", "--wait", "--remove-orphans")
            self.was_changed = False

    @contextmanager
    def changed(self, *files: Path, **settings: str) -> Iterator[None]:
        """Add these files and settings until the block ends. They take effect with the next `up`."""
        before, self.was_changed = (self.files, self.environment), True
        self.files, self.environment = (*self.files, *files), {**self.environment, **settings}
        try:
            yield
        finally:
            self.files, self.environment = before


@contextmanager
def running(stack: Stack, *services: str) -> Iterator[Stack]:
    """`stack`, up until the block ends; then all of it is removed, whatever happened."""
    try:
        stack.compose("up", "--detach", "--wait", *services)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def docker(*arguments: str, **options: Any) -> str:
    """Run `docker ARGUMENTS` to success, and return what it prints."""
    command = ["docker", *arguments]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def has_engine() -> bool:
    """Whether a Docker engine answers."""
    return (
        shutil.which("docker") is not None
        and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )
