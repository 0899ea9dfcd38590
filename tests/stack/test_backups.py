"""`make backup`, `restore` and `rehearse-restore` on the stack; tests/processes/test_backups.py has the faults."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stack.stack import RELEASE, Stack

BACKUP = rf"zoo-{RELEASE}-\d{{8}}T\d{{6}}Z-[0-9a-f]{{64}}\.dump"
Make = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def make(stack: Stack, tmp_path: Path) -> Make:
    """Runs make on the stack, in a checkout that has only what these targets need."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copy(ROOT / "Makefile", tmp_path)
    environment = stack.environment | stack.names

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["make", "--silent", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    return run


def test_a_dropped_table_comes_back_from_the_stacks_storage_while_the_api_serves(
    stack: Stack, make: Make, tmp_path: Path
) -> None:
    with stack.client() as client:
        made = client.post("/animals", json={"name": "Amara"}).raise_for_status().json()
        saved = make("backup", "TO=s3")
        assert saved.returncode == 0, saved.stderr
        (name,) = re.findall(rf"^saved: s3:({BACKUP})$", saved.stderr, re.MULTILINE)
        assert list((tmp_path / "backups").iterdir()) == []
        stack.sql("postgres", "DROP TABLE animals CASCADE")
        assert client.get(f"/animals/{made['id']}").is_server_error

        refused = make("restore", f"FILE=s3:{name}")
        assert refused.returncode != 0
        assert "the database is not empty" in refused.stderr
        done = make("restore", f"FILE=s3:{name}", "REPLACE=1")
        assert done.returncode == 0, done.stderr

        assert client.get(f"/animals/{made['id']}").json() == made
        client.post("/animals", json={"name": "Bahati"}).raise_for_status()
        assert client.get("/health/ready").is_success
    (before,) = re.findall(r"--username=postgres (zoo_before_\w+)$", done.stderr, re.MULTILINE)
    stack.exec("db", "dropdb", "--username=postgres", before)


def test_a_backup_in_a_file_is_rehearsed_and_one_that_was_cut_off_is_refused(
    stack: Stack, make: Make, tmp_path: Path
) -> None:
    rehearsed = make("rehearse-restore")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert "rows of" in rehearsed.stdout

    saved = make("backup")
    (path,) = re.findall(rf"^saved: (backups/{BACKUP})$", saved.stderr, re.MULTILINE)
    size = (tmp_path / path).stat().st_size
    os.truncate(tmp_path / path, size // 2)
    refused = make("restore", f"FILE={path}", "REPLACE=1")
    assert "cut off or changed" in refused.stderr
    assert stack.get("/health/ready").is_success
