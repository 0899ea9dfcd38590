"""The entry of the pooler's image: which users it makes of the secrets, and which secrets it refuses."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

GOOD = "kT4vX9qLw2ZrB7nJ"


def entry(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run it with a program in place of PgBouncer that shows its users."""
    for path in ("pgbouncer/entrypoint.sh", "postgres/secrets.sh", "postgres/weakness.awk"):
        shutil.copy(ROOT / "deploy" / path, folder)
    program = folder / "pgbouncer"
    program.write_text('#!/bin/sh\ncat "$(sed -n "s/^auth_file = //p" "$1")"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder), **settings}
    command = ["sh", str(folder / "entrypoint.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_knows_the_api_and_who_may_use_its_console_by_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('\ufeffa "b" \\c\n')
    done = entry(tmp_path, DATABASE_PASSWORD_FILE=str(tmp_path / "secret"), POOLER_PASSWORD="console")
    assert done.stdout == '"zoo_api" "a ""b"" \\c"\n"zoo_pooler" "console"\n'
    assert (tmp_path / "users.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["DATABASE_PASSWORD", "POOLER_PASSWORD"])
def test_production_refuses_what_can_be_guessed(tmp_path: Path, name: str) -> None:
    good = {"DATABASE_PASSWORD": GOOD, "POOLER_PASSWORD": GOOD, "ENVIRONMENT": "production"}
    assert entry(tmp_path, **good).returncode == 0
    done = entry(tmp_path, **good | {name: "zoo_api"})
    assert done.returncode == 3
    assert done.stderr.startswith(f"{name} is shorter than 16 characters")
