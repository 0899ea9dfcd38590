"""After an ordinary change of the models `alembic revision --autogenerate` gives revisions that run as they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import ROOT
from tests.processes.model_changes import CHANGES, REFUSED, Change
from tests.processes.test_history import REVISIONS

ROWS = """
INSERT INTO exhibits (name) VALUES ('Savanna');
INSERT INTO animals (name, species, exhibit_id)
    SELECT 'A' || n, CASE WHEN n % 2 = 0 THEN 'lion' END, (SELECT min(id) FROM exhibits) FROM generate_series(1, 50) n;
INSERT INTO orders (id, user_id) SELECT gen_random_uuid(), id FROM users;
INSERT INTO order_items SELECT id, n, 'tea', 'small', 1 FROM orders, generate_series(0, 3) n;
"""
WRITE = "revision --autogenerate -m 'what changed'"
UP, DOWN = "upgrade head", f"downgrade {REVISIONS[-1]}"
HEAD = f"SELECT version_num = '{REVISIONS[-1]}' FROM alembic_version"


async def changed(folder: Path, admin: asyncpg.Connection, change: Change) -> Path:
    """A checkout with the change, and rows in the database that it starts from."""
    await admin.execute(ROWS)
    if change.before:
        await admin.execute(f"SET ROLE zoo_migrator; {change.before}")
    for part in ("api", "migrator"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    change.make(folder)
    return folder


def alembic(server: Server, database: str, checkout: Path, *commands: str) -> str:
    """Commands of Alembic, one after the other, in one process, for to start one takes longer than what it does."""
    script = (
        f"from alembic.config import main\nfor arguments in {[shlex.split(each) for each in commands]}: main(arguments)"
    )
    environment = os.environ | {"LOG_FORMAT": "text"} | server.environment(database)
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def written(checkout: Path) -> list[str]:
    """The revisions that were written, in the order of their files' names."""
    files = set((checkout / "migrator" / "versions").glob("*.py")) - {
        checkout / "migrator" / "versions" / path.name for path in (ROOT / "migrator" / "versions").glob("*.py")
    }
    return [path.read_text() for path in sorted(files)]


def operations(revision: str) -> str:
    """What a revision's upgrade calls."""
    upgrade = revision.partition("def upgrade")[2].partition("def downgrade")[0]
    return " ".join(re.findall(r"^    op\.(\w+)\(", upgrade, re.MULTILINE))


def comments(revision: str) -> str:
    """The comments of a revision, in one line."""
    return " ".join(re.findall(r"^    # +(.*)", revision, re.MULTILINE))


@pytest.mark.parametrize("name", CHANGES)
async def test_what_is_written_is_all_there_is_to_do(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    checkout = await changed(tmp_path, admin, CHANGES[name])
    printed = alembic(server, database, checkout, WRITE, UP, "check", DOWN, UP, "check")
    revisions = written(checkout)
    assert tuple(map(operations, revisions)) == CHANGES[name].revisions
    assert printed.count("No new upgrade operations detected.") == 2
    assert printed.count("Generating") == len(revisions)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cant_be_known_is_not_guessed(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    checkout = await changed(tmp_path, admin, REFUSED[name])
    alembic(server, database, checkout, WRITE, UP, DOWN, UP)
    revisions = written(checkout)
    assert tuple(map(operations, revisions)) == REFUSED[name].revisions
    said = " ".join(map(comments, revisions))
    assert [recipe for recipe in REFUSED[name].recipe if recipe not in said] == []
    assert await admin.fetchval("SELECT count(name) FROM animals") == 50
