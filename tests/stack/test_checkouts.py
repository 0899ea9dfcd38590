"""The stack starts from checkouts as they are elsewhere, and a database without its roles is not called healthy."""

import json
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.stack.elsewhere import BUILT
from tests.stack.stack import Stack, docker

ROLES = "/docker-entrypoint-initdb.d/10-roles.sh"


def test_a_checkout_under_a_strict_umask_with_windows_line_ends_starts(elsewhere: Stack) -> None:
    assert elsewhere.get("/health/ready").status_code == 200
    # Nothing of ours is unreadable for the container's user, or can be changed by it.
    look = ["find", "/app", "/opt", "-not", "-type", "l", "(", "-not", "-readable", "-o", "-writable", ")"]
    images = [image for image in BUILT if "api" in image or "migrator" in image]
    assert [docker("run", "--rm", image, *look) for image in images] == ["", ""]


@pytest.fixture(scope="module")
def half_made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A database whose first start was cut off before its roles were created."""
    folder = tmp_path_factory.mktemp("half-made")
    script, override = folder / "05-fails.sh", folder / "compose.yml"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    folder.chmod(0o755)
    healthcheck = {"interval": "1s", "start_period": "1s", "retries": 3}
    mount = f"{script}:/docker-entrypoint-initdb.d/05-fails.sh:ro"
    override.write_text(json.dumps({"services": {"db": {"volumes": [mount], "healthcheck": healthcheck}}}))
    stack = Stack(override)
    try:
        stack.compose("up", "--detach", "db")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "5", check=False)


def check(stack: Stack) -> subprocess.CompletedProcess[str]:
    return stack.exec("db", "/opt/zoo/healthy.sh", check=False)


def wait_for_server(stack: Stack) -> None:
    deadline = time.monotonic() + 120
    while "accepting" not in stack.exec("db", "pg_isready", "--host=127.0.0.1", check=False).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_half_made_volume_is_not_healthy_and_its_log_says_once_what_is_missing_and_how_to_mend_it(
    half_made: Stack,
) -> None:
    stack = half_made
    up = stack.compose("up", "--detach", "--wait", "db", check=False)
    assert up.returncode != 0
    wait_for_server(stack)
    assert check(stack).returncode == 1
    log = stack.compose("logs", "--no-log-prefix", "db").stdout.replace("\x1b[2K", "")
    assert log.count("the role zoo_api is missing\nthe role zoo_migrator is missing\n") == 1
    assert f"mend it:                  docker compose exec db {ROLES}" in log
    deadline = time.monotonic() + 60
    while "the role zoo_api is missing" not in stack.inspect("db")["State"]["Health"]["Log"][-1]["Output"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    stack.exec("db", ROLES)
    deadline = time.monotonic() + 60
    while stack.inspect("db")["State"]["Health"]["Status"] != "healthy":
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("DROP OWNED BY zoo_api; DROP ROLE zoo_api", "the role zoo_api is missing"),
        ("ALTER ROLE zoo_migrator NOLOGIN", "the role zoo_migrator can't log in"),
        ("ALTER ROLE zoo_api PASSWORD NULL", "the role zoo_api can't log in"),
        ("REVOKE CONNECT ON DATABASE zoo FROM zoo_api", "the role zoo_api may not connect to the database zoo"),
        (
            "REVOKE CREATE ON SCHEMA public FROM zoo_migrator",
            "the role zoo_migrator has no CREATE on the schema public",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public REVOKE DELETE ON TABLES FROM zoo_api",
            "the role zoo_api gets no DELETE on the tables of zoo_migrator",
        ),
    ],
)
def test_a_right_that_is_missing_is_named_and_the_roles_script_mends_it(
    half_made: Stack, statement: str, missing: str
) -> None:
    wait_for_server(half_made)
    half_made.exec("db", ROLES)
    assert check(half_made).returncode == 0
    half_made.sql("postgres", statement)
    found = check(half_made)
    assert found.returncode == 1
    assert f"the database can't be used: {missing}\nmend it:" in found.stdout
    half_made.exec("db", ROLES)
    assert check(half_made).returncode == 0


def test_a_database_that_is_missing_is_named_with_the_command_that_creates_it(half_made: Stack) -> None:
    wait_for_server(half_made)
    half_made.sql("postgres", "DROP DATABASE zoo WITH (FORCE)", database="postgres")
    found = check(half_made)
    assert found.returncode == 1
    command = re.search(r"the database zoo is missing; first: docker compose (exec db createdb .*)", found.stdout)
    assert command
    half_made.compose(*command[1].replace("exec", "exec --no-TTY").split())
    half_made.exec("db", ROLES)
    assert check(half_made).returncode == 0
