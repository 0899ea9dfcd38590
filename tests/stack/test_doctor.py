"""`make doctor` about Docker: its engine, plugins, containers. The rest is in test_checkouts.py and tests/processes."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread
from uuid import uuid4

import pytest

from tests.ports import find_free_port
from tests.stack.stack import docker

Doctor = Callable[..., dict[str, str]]


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


def plugins(folder: Path, **scripts: str) -> str:
    """A folder for DOCKER_CONFIG, in which each plugin is such a script."""
    directory = folder / "config" / "cli-plugins"
    directory.mkdir(parents=True)
    for name, script in scripts.items():
        path = directory / f"docker-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return str(folder / "config")


def compose(version: str) -> str:
    """The script of a plugin that answers only which version of Compose it is."""
    described = f"""'{{"SchemaVersion": "0.1.0", "Vendor": "x", "Version": "{version}"}}'"""
    return f"case $1 in docker-cli-plugin-metadata) echo {described};; *) [ $2 != version ] || echo {version};; esac"


def test_plugins_that_are_missing_and_an_engine_that_does_not_answer(doctor: Doctor, tmp_path: Path) -> None:
    config = plugins(tmp_path, compose="exit 1", buildx="exit 1")
    found = doctor(DOCKER_CONFIG=config, DOCKER_HOST="unix:///nowhere/docker.sock")
    *missing, (silent, mended) = found.items()
    assert [said for said, _ in missing] == ["Docker has no Compose", "Docker has no Buildx"]
    assert silent.startswith("Docker's engine does not answer: ")
    assert mended == "sudo systemctl start docker, or start Docker Desktop"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_engine_that_does_not_let_the_user_in(doctor: Doctor, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    nobody = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    with engine(tmp_path, "26.1.5") as address:
        (tmp_path / "engine").chmod(0o600)
        found = doctor(*nobody, DOCKER_HOST=address, HOME="/nowhere")
    assert any(how.startswith("sudo usermod -aG docker ") for how in found.values())


@pytest.mark.parametrize(
    ("engine_is", "compose_is", "old"),
    [
        ("24.0.9+dfsg1", "v2.24.0", "Docker's engine is 24.0.9+dfsg1, and 25 is needed (start_interval)"),
        ("25.0.0", "v2.23.3", "Compose is 2.23.3, and 2.24 is needed"),
    ],
)
def test_an_engine_or_a_compose_that_is_too_old(
    doctor: Doctor, tmp_path: Path, engine_is: str, compose_is: str, old: str
) -> None:
    with engine(tmp_path, engine_is) as address:
        found = doctor(DOCKER_HOST=address, DOCKER_CONFIG=plugins(tmp_path, compose=compose(compose_is)))
    assert [said for said in found if "needed" in said] == [old]


def test_an_env_file_that_compose_reads_otherwise_and_a_port_of_a_container(doctor: Doctor, doctors: Path) -> None:
    env, port, name = doctors / ".env", find_free_port(), f"zoo-tests-{uuid4().hex}"
    published = f"127.0.0.1:{port}:80"
    docker("run", "--detach", "--rm", "--name", name, "--publish", published, "debian:trixie-slim", "sleep", "60")
    try:
        env.write_text("POSTGRES_PASSWORD=a$zebra\n")
        taken, otherwise = doctor(API_PORT=str(port))
        assert taken == f"port {port} is in use by the container {name}"
        assert "zebra" in otherwise
        env.write_text("POSTGRES_PASSWORD='a$zebra'\n")
        assert doctor() == {}
    finally:
        env.unlink()
        docker("rm", "--force", name)
