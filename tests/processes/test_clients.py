"""The OpenAPI document is good enough to make clients from: a linter has no finding, and two clients work."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.postgres import Server
from tests.conftest import ROOT
from tests.processes.live import live_api
from tests.python import HANGS, run
from tests.users import PASSWORD, email_of

HERE = ROOT / "tests" / "clients"
NODE = ("npm", "node")


def execute(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command to success; what it prints."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=HANGS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(run("api", "openapi", env=dict(os.environ)).stdout)
    return path


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder with the packages that tests/clients/package-lock.json locks."""
    if not all(map(shutil.which, NODE)) and not os.environ.get("CI"):
        pytest.skip("no Node.js on this machine")
    folder = tmp_path / "node"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("node_modules"))
    execute("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", cwd=folder)
    return folder


@pytest.fixture
def api(server: Server, database: str, free_port: int) -> Iterator[str]:
    with live_api(server.environment(database), free_port) as address:
        yield address


def program(node: Path, name: str) -> Path:
    return node / "node_modules" / ".bin" / name


def test_redocly_finds_nothing_and_typescript_types_walk_through_the_api(node: Path, document: Path, api: str) -> None:
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    redocly: list[str | Path] = ["lint", document, "--format", "json"]
    found: dict[str, Any] = json.loads(execute(program(node, "redocly"), *redocly, cwd=node, **quiet))
    assert found["problems"] == []
    execute(program(node, "openapi-typescript"), document, "--output", node / "api.ts", cwd=node)
    options = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"]
    execute(program(node, "tsc"), *options, "--lib", "es2022,dom,dom.iterable", "walk.ts", cwd=node)
    walked = execute("node", "walk.js", api, email_of("keeper"), PASSWORD, cwd=node)
    assert walked == "walked\n"


def test_a_python_client_walks_through_the_api(document: Path, api: str, tmp_path: Path) -> None:
    uv = [sys.executable, "-m", "uv", "--quiet"]
    python = tmp_path / "venv" / "bin" / "python"
    execute(*uv, "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    locked = ROOT / "requirements" / "clients.txt"
    execute(*uv, "pip", "install", "--python", python, "--require-hashes", "-r", locked, cwd=tmp_path)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # of ruff, which formats the client
    command: list[str | Path] = [
        "generate",
        "--meta",
        "none",
        "--fail-on-warning",
        "--output-path",
        tmp_path / "client",
    ]
    execute(python.with_name("openapi-python-client"), *command, "--path", document, cwd=tmp_path, PATH=path)
    walk: list[str | Path] = [HERE / "walk.py", api, email_of("keeper"), PASSWORD]
    assert execute(python, *walk, cwd=tmp_path, PYTHONPATH=str(tmp_path)) == "walked\n"
