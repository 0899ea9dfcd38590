"""A Compose stack under a name and on a port of its own."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.bearer import bearer
from tests.conftest import ROOT
from tests.ports import find_free_port
from tests.stack.users import admins_token

RELEASE = f"test-{uuid4().hex[:8]}"
PREFIX = f"zoo-{RELEASE}-"
RELEASED = [f"{PREFIX}{target}:{RELEASE}" for target in ("api", "migrator", "proxy")]
IMAGES = [f"{PREFIX}db:18", f"{PREFIX}storage:seaweedfs", *RELEASED]
HERE = ROOT / "tests" / "stack"
REPLICAS = ROOT / "docker-compose.replicas.yml"
NO_STORAGE = ROOT / "docker-compose.s3.yml"  # with S3_UPLOAD_URL=""
TOOLS = "zoo-tests-tools"
# What the labels of the images say.
COMMIT = {"REVISION": "0123abcd", "SOURCE": "https://git.example/zoo", "CREATED": "2026-11-26T12:00:00Z"}
PATIENCE = 30  # seconds for an answer, on a busy machine


class Stack:
    """`docker compose` on one project, and the address where its api is published."""

    def __init__(self, *files: Path, root: Path = ROOT, **settings: str) -> None:
        self.project = f"zoo-{uuid4().hex[:12]}"
        self.root = root
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
            "GOGC": "400",  # Compose would spend a quarter of its work on looking for garbage
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
            timeout=900,
            **options,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def names(self) -> dict[str, str]:
        """What makes a `docker compose` of others use this stack."""
        return {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_FILE": ":".join(map(str, self.files))}

    def command(self, *arguments: str) -> list[str]:
        files = [part for file in self.files for part in ("--file", str(file))]
        project = ["--project-name", self.project, "--project-directory", str(self.root)]
        return [compose_plugin(), *project, *files, *arguments]

    def container(self, service: str) -> str:
        """The name of the service's container."""
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> dict[str, Any]:
        """What Docker says about the service's container, running or not."""
        return self.inspect_all(service)[service]

    def inspect_all(self, *services: str) -> dict[str, dict[str, Any]]:
        """The same of several services."""
        found = json.loads(docker("inspect", *(self.container(service) for service in services)))
        return dict(zip(services, found, strict=True))

    def exec(
        self, service: str, *command: str, check: bool = True, stdin: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the service's container, as `docker compose exec` does with three times the work."""
        environment = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
        container = self.container(service)
        return run_docker("exec", "--interactive", *environment, container, *command, check=check, input=stdin)

    def sql(
        self, role: str, statement: str, check: bool = True, database: str = "zoo"
    ) -> "subprocess.CompletedProcess[str]":
        """Run a statement by psql as `role`: by network and password, like the services; the superuser by socket."""
        login = ["--username=postgres"] if role == "postgres" else [f"--username={role}", "--host=db"]
        login.append(f"--dbname={database}")
        psql = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", *login, f"--command={statement}"]
        return self.exec("db", *psql, check=check, PGPASSWORD=role)

    def logs(self, service: str) -> str:
        """What the service's container has printed, as `docker compose logs` shows it with five times the work."""
        done = run_docker("logs", self.container(service))
        return done.stdout + done.stderr

    @cached_property
    def token(self) -> str:
        """The token of the client that the tests are, an admin's."""
        return admins_token(self)

    @property
    def headers(self) -> dict[str, str]:
        """What this client sends."""
        return bearer(self.token)

    @cached_property
    def wanted(self) -> set[str]:
        """The containers that run in a stack that is intact."""
        services = set(self.compose("config", "--services").stdout.split()) - {"migrator", "buckets", "seed"}
        return {self.container(service) for service in services}

    def client(self) -> httpx.Client:
        """A client of the api, with the token; the caller closes it."""
        return httpx.Client(base_url=self.address, timeout=PATIENCE, headers=self.headers)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """The api's answer to anybody."""
        return httpx.get(f"{self.address}{path}", timeout=PATIENCE, **options)

    def is_ready(self) -> bool:
        """Whether the api serves; not, while nothing listens."""
        try:
            return self.get("/health/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def make_intact(self) -> None:
        """Make all services run as in a new stack, except those that run to their ends: they have done so."""
        ours = ["--filter", f"label=com.docker.compose.project={self.project}", "--filter", "status=running"]
        running = set(docker("ps", *ours, "--format", "{{.Names}}").split())
        if self.was_changed or running != self.wanted or self.get("/exhibits").status_code != httpx.codes.OK:
            services = (name.removeprefix(f"{self.project}-").removesuffix("-1") for name in self.wanted)
            self.compose("up", "--detach", "--wait", "--remove-orphans", "--no-deps", *services)
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
        stack.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "0", check=False)


def run_docker(*arguments: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run `docker ARGUMENTS`; with `check`, to success."""
    command = ["docker", *arguments]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def docker(*arguments: str, **options: Any) -> str:
    """Run `docker ARGUMENTS` to success, and return what it prints."""
    return run_docker(*arguments, **options).stdout


def pause(container: str) -> None:
    """Freeze it. Docker gives up on one that starts processes meanwhile: it is asked again."""
    tries = 10
    while run_docker("pause", container, check=tries == 1).returncode != 0:
        tries -= 1


@cache
def compose_plugin() -> str:
    """The program of `docker compose`, which would first ask it and others who they are: a third of its work."""
    plugins = json.loads(docker("info", "--format", "{{json .ClientInfo.Plugins}}"))
    return next(str(plugin["Path"]) for plugin in plugins if plugin["Name"] == "compose")


def has_engine() -> bool:
    """Whether a Docker engine answers."""
    return (
        shutil.which("docker") is not None
        and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )
