"""The stack starts from checkouts as they are elsewhere, and a database without its roles is not called healthy."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.elsewhere import BUILT
from tests.stack.observed import until
from tests.stack.stack import Stack, docker

ROLES = "/docker-entrypoint-initdb.d/10-roles.sh"


def test_a_checkout_under_a_strict_umask_with_windows_line_ends_starts(elsewhere: Stack) -> None:
    assert elsewhere.get("/health/ready").status_code == 200
    # Nothing of ours is unreadable for the container's user, or can be changed by it.
    look = ["find", "/app", "/opt", "-not", "-type", "l", "(", "-not", "-readable", "-o", "-writable", ")"]
    [migrator] = [image for image in BUILT if "migrator" in image]
    assert [elsewhere.exec("api", *look).stdout, docker("run", "--rm", migrator, *look)] == ["", ""]


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
        until(lambda: "accepting" in stack.exec("db", "pg_isready", "--host=127.0.0.1", check=False).stdout)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "0", check=False)


def check(stack: Stack) -> subprocess.CompletedProcess[str]:
    return stack.exec("db", "/opt/zoo/healthy.sh", check=False)


def test_a_half_made_volume_is_not_healthy_its_log_says_once_what_is_missing_and_the_doctor_how_to_mend_it(
    half_made: Stack, doctor: Callable[..., dict[str, str]], doctors: Path
) -> None:
    stack, project = half_made, half_made.environment | half_made.names
    up = stack.compose("up", "--detach", "--wait", "db", check=False)
    assert up.returncode != 0
    assert check(stack).returncode == 1
    log = stack.compose("logs", "--no-log-prefix", "db").stdout.replace("\x1b[2K", "")
    assert log.count("the role zoo_api is missing\nthe role zoo_migrator is missing\n") == 1
    assert f"mend it:                  docker compose exec db {ROLES}" in log
    health = stack.inspect("db")["State"]["Health"]
    assert "the role zoo_api is missing" in health["Log"][-1]["Output"]

    ((said, how),) = doctor(**project).items()
    assert said.startswith(f"the volume {stack.project}_db has no roles: ")
    how = how.partition(" (or")[0].replace("exec", "exec --no-TTY")
    subprocess.run(["bash", "-c", how], cwd=doctors, env=os.environ | project, check=False, capture_output=True)
    until(lambda: stack.inspect("db")["State"]["Health"]["Status"] == "healthy")
    assert doctor(**project) == {}


# Each lacks something else.
TAKEN = """
ALTER ROLE zoo_migrator NOLOGIN; ALTER ROLE zoo_api PASSWORD NULL;
REVOKE CONNECT ON DATABASE zoo FROM zoo_api; REVOKE CREATE ON SCHEMA public FROM zoo_migrator;
ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public REVOKE DELETE ON TABLES FROM zoo_api;
"""
MISSING = [
    "the role zoo_api can't log in",
    "the role zoo_api gets no DELETE on the tables of zoo_migrator",
    "the role zoo_api may not connect to the database zoo",
    "the role zoo_migrator can't log in",
    "the role zoo_migrator has no CREATE on the schema public",
]


def test_rights_that_are_missing_are_named_and_the_roles_script_mends_them(half_made: Stack) -> None:
    half_made.exec("db", ROLES)
    half_made.sql("postgres", TAKEN)
    found = check(half_made)
    assert found.returncode == 1
    first, *others = MISSING
    assert found.stdout.splitlines()[: len(MISSING)] == [f"the database can't be used: {first}", *others]
    half_made.exec("db", ROLES)
    mended = check(half_made)
    assert mended.returncode == 0, mended.stdout


def test_a_database_that_is_missing_is_named_with_the_command_that_creates_it(half_made: Stack) -> None:
    half_made.sql("postgres", "DROP DATABASE zoo WITH (FORCE)", database="postgres")
    found = check(half_made)
    assert found.returncode == 1
    command = re.search(r"the database zoo is missing; first: docker compose (exec db createdb .*)", found.stdout)
    assert command
    half_made.compose(*command[1].replace("exec", "exec --no-TTY").split())
    half_made.exec("db", ROLES)
    assert check(half_made).returncode == 0
