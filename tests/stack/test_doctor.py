"""`make doctor` about Docker: its engine, plugins, containers and volumes. The rest is in tests/processes."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread
from uuid import uuid4

import pytest

from tests.checkouts import clone
from tests.ports import find_free_port
from tests.stack.stack import Stack, docker

Doctor = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, images: list[str]) -> Path:  # noqa: ARG001 - an engine
    return clone(tmp_path_factory.mktemp("doctor") / "checkout")


@pytest.fixture
def doctor(checkout: Path, free_port: int) -> Doctor:
    """Runs `make doctor`: what it found, and how each is mended."""

    def run(*before: str, **changes: str) -> dict[str, str]:
        environment = {**os.environ, "STORAGE_PORT": str(find_free_port()), "API_PORT": str(free_port), **changes}
        command = [*before, "make", "--silent", "doctor"]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (done.stdout == "nothing is missing\n"), done.stdout + done.stderr
        return dict(re.findall(r"^(\S.*)\n    (\S.*)$", done.stdout, re.MULTILINE))

    return run


@contextmanager
def engine(folder: Path, version: str) -> Iterator[str]:
    """An engine's socket that answers only which version it is, for DOCKER_HOST."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.endswith(("/_ping", "/version"))
            body = json.dumps({"Version": version, "ApiVersion": "1.43", "Os": "linux", "Arch": "amd64"}).encode()
            self.send_response(200 if known else 500)
            self.send_header("Api-Version", "1.43")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - http.server's

        def address_string(self) -> str:
            return "a socket"

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingUnixStreamServer(str(folder / "engine"), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{folder / 'engine'}"
        server.shutdown()


def plugin(folder: Path, name: str, script: str) -> str:
    """A folder for DOCKER_CONFIG, in which the plugin `name` is `script`."""
    path = folder / "config" / "cli-plugins" / f"docker-{name}"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(folder / "config")


def test_an_engine_that_does_not_answer(doctor: Doctor) -> None:
    (found,) = doctor(DOCKER_HOST="unix:///nowhere/docker.sock").items()
    assert found[0].startswith("Docker's engine does not answer: ")
    assert found[1] == "sudo systemctl start docker, or start Docker Desktop"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_engine_that_does_not_let_the_user_in(doctor: Doctor, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    nobody = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    with engine(tmp_path, "26.1.5") as address:
        (tmp_path / "engine").chmod(0o600)
        found = doctor(*nobody, DOCKER_HOST=address, HOME="/nowhere")
    assert any(how.startswith("sudo usermod -aG docker ") for how in found.values())


@pytest.mark.parametrize(("version", "is_old"), [("24.0.9+dfsg1", True), ("25.0.0", False)])
def test_an_engine_that_is_too_old(doctor: Doctor, tmp_path: Path, version: str, is_old: bool) -> None:
    with engine(tmp_path, version) as address:
        found = doctor(DOCKER_HOST=address)
    assert (f"Docker's engine is {version}, and 25 is needed (start_interval)" in found) == is_old


def test_compose_that_is_too_old(doctor: Doctor, tmp_path: Path) -> None:
    described = """'{"SchemaVersion": "0.1.0", "Vendor": "x", "Version": "v2.23.3"}'"""
    script = f"case $1 in docker-cli-plugin-metadata) echo {described};; *) echo v2.23.3;; esac"
    found = doctor(DOCKER_CONFIG=plugin(tmp_path, "compose", script))
    assert "Compose is 2.23.3, and 2.24 is needed" in found


@pytest.mark.parametrize(("name", "said"), [("compose", "Docker has no Compose"), ("buildx", "Docker has no Buildx")])
def test_a_plugin_that_is_missing(doctor: Doctor, tmp_path: Path, name: str, said: str) -> None:
    assert list(doctor(DOCKER_CONFIG=plugin(tmp_path, name, "exit 1"))) == [said]


def test_an_env_file_that_compose_reads_otherwise_and_one_with_which_nothing_is_missing(
    doctor: Doctor, checkout: Path
) -> None:
    env = checkout / ".env"
    try:
        env.write_text("POSTGRES_PASSWORD=a$zebra\n")
        (said,) = doctor()
        assert "zebra" in said
        env.write_text("POSTGRES_PASSWORD='a$zebra'\n")
        assert doctor() == {}
    finally:
        env.unlink()


def test_a_port_of_a_container(doctor: Doctor) -> None:
    port, name = find_free_port(), f"zoo-tests-{uuid4().hex}"
    docker(
        "run",
        "--detach",
        "--rm",
        "--name",
        name,
        "--publish",
        f"127.0.0.1:{port}:80",
        "debian:trixie-slim",
        "sleep",
        "60",
    )
    try:
        assert list(doctor(API_PORT=str(port))) == [f"port {port} is in use by the container {name}"]
    finally:
        docker("rm", "--force", name)


def test_a_volume_whose_first_start_did_not_get_as_far_as_the_roles(
    doctor: Doctor, checkout: Path, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    no_roles, soon_unhealthy = tmp_path / "no-roles.yml", tmp_path / "soon-unhealthy.yml"
    no_roles.write_text(
        f"services: {{db: {{volumes: ['{tmp_path / 'nothing'}:/docker-entrypoint-initdb.d:ro'],"
        " healthcheck: {test: [CMD, pg_isready, --host=127.0.0.1], start_period: 5m}}}\n"
    )
    # Or what mends it would wait for the minutes that a start may take.
    soon_unhealthy.write_text("services: {db: {healthcheck: {interval: 1s, start_period: 1s, retries: 10}}}\n")
    stack = Stack(soon_unhealthy, root=checkout)
    project = stack.environment | stack.names
    try:
        stack.compose("--file", str(no_roles), "up", "--detach", "--wait", "db")
        stack.compose("down")
        ((said, how),) = doctor(**project).items()
        assert said.startswith(f"the volume {stack.project}_db has no roles: ")
        how = how.partition(" (or")[0].replace("exec", "exec --no-TTY")
        subprocess.run(["bash", "-c", how], cwd=checkout, env=os.environ | project, check=False, capture_output=True)
        assert doctor(**project) == {}
    finally:
        stack.compose("down", "--volumes")
