"""After an ordinary change of the models, `alembic revision --autogenerate` writes revisions that run unchanged.

That they leave the schema as it was when they are taken back, tests/faults/test_model_pairs.py proves.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests import python
from tests.checkouts import linked_checkout
from tests.processes.model_changes import CHANGES, REFUSED, Change
from tests.processes.test_history import FILES, REVISIONS
from tests.rounds import rounds

ROWS = """
INSERT INTO exhibits (name) VALUES ('Savanna');
INSERT INTO animals (name, species, exhibit_id)
    SELECT 'A' || n, CASE WHEN n % 2 = 0 THEN 'lion' END, (SELECT min(id) FROM exhibits) FROM generate_series(1, 50) n;
INSERT INTO known_addresses (user_id, address) SELECT id, n FROM users, generate_series(0, 3) n;
"""
WRITE, LINT = "alembic revision --autogenerate -m 'what changed'", "alembic_online lint"
UP, DOWN, CHECK = "alembic upgrade head", f"alembic downgrade {REVISIONS[-1]}", "alembic check"
# What the previous release goes on doing.
OLD_INSERT = "INSERT INTO animals (name) VALUES ('A0')"


async def changed(folder: Path, admin: asyncpg.Connection, change: Change) -> Path:
    """A checkout with the change, and a database with rows."""
    await admin.execute(ROWS)
    if change.before:
        await admin.execute(f"SET ROLE zoo_migrator; {change.before}; RESET ROLE")
    checkout = linked_checkout(folder, own=["api"])
    with (checkout / "pyproject.toml").open("a") as configuration:  # of the others, there is nothing to find
        configuration.write(f'\n[tool.alembic_online]\nlint_after = "{REVISIONS[-1]}"\n')
    change.make(checkout)
    return checkout


def run(server: Server, database: str, checkout: Path, *commands: str) -> str:
    """Run commands of Alembic and of the migrator, in one process, and return what they print."""
    arguments = [shlex.split(command) for command in commands]
    script = (
        "from alembic.config import main\nfrom alembic_online.__main__ import app\n"
        "call = {'alembic': main, 'alembic_online': lambda given: app(given, standalone_mode=False)}\n"
        f"for name, *given in {arguments}: assert not call[name](given)"
    )
    environment = os.environ | {"LOG_FORMAT": "text"} | server.environment(database)
    done = python.run("-c", script, env=environment, cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def written(checkout: Path) -> list[Path]:
    """The revisions that were written, in the order of their files' names."""
    there = {path.name for path in FILES}
    return [path for path in sorted((checkout / "migrator" / "versions").glob("*.py")) if path.name not in there]


def operations(revision: Path) -> str:
    """What a revision's upgrade calls."""
    upgrade = revision.read_text().partition("def upgrade")[2].partition("def downgrade")[0]
    return " ".join(re.findall(r"^    op\.(\w+)\(", upgrade, re.MULTILINE))


def comments(revision: Path) -> str:
    """The comments of a revision, in one line."""
    return " ".join(re.findall(r"^    # +(.*)", revision.read_text(), re.MULTILINE))


def is_contract(revision: Path) -> bool:
    return 'phase = "contract"\nsafe_from_release = "' in revision.read_text()


def with_every_operation() -> list[str]:
    """As few changes as have all operations; more of them, in one process, in tests/faults/test_model_changes.py."""
    operations = {name: set(" ".join(change.revisions).split()) for name, change in CHANGES.items()}
    seen: set[str] = set()
    chosen = []
    for name in sorted(operations, key=lambda name: -len(operations[name])):
        if operations[name] - seen:
            chosen.append(name)
            seen |= operations[name]
    return chosen


@pytest.mark.parametrize("name", rounds(quick=with_every_operation(), full=CHANGES))
async def test_what_is_written_is_all_there_is_to_do(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    checkout = await changed(tmp_path, admin, CHANGES[name])
    printed = run(server, database, checkout, WRITE, LINT, UP, CHECK, DOWN)
    revisions = written(checkout)
    assert tuple(map(operations, revisions)) == CHANGES[name].revisions
    assert printed.count("Generating") == len(revisions)
    assert re.search(rf"\b{len(revisions)} revisions?, nothing found", printed)
    assert "No new upgrade operations detected." in printed
    for arguments in ("check", "format --check"):
        subprocess.run(
            [Path(sys.executable).with_name("ruff"), *arguments.split(), *revisions], cwd=checkout, check=True
        )


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cant_be_known_is_not_guessed(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    checkout = await changed(tmp_path, admin, REFUSED[name])
    run(server, database, checkout, WRITE, LINT, UP, DOWN)
    revisions = written(checkout)
    assert tuple(map(operations, revisions)) == REFUSED[name].revisions
    said = " ".join(map(comments, revisions))
    assert [recipe for recipe in REFUSED[name].recipe if recipe not in said] == []
    assert await admin.fetchval("SELECT count(name) FROM animals") == 50


async def test_the_previous_release_goes_on_until_the_contract_phase(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    checkout = await changed(tmp_path, admin, CHANGES["a NOT NULL column"])
    run(server, database, checkout, WRITE)
    assert list(map(is_contract, written(checkout))) == [False, False, False, True]
    for _ in range(3):
        run(server, database, checkout, "alembic upgrade +1")
        await admin.execute(OLD_INSERT)
    assert await admin.fetchval("SELECT count(*) FROM animals WHERE habitat IS NULL") == 0
    run(server, database, checkout, UP, CHECK)
    with pytest.raises(asyncpg.NotNullViolationError):
        await admin.execute(OLD_INSERT)


async def test_what_the_previous_release_writes_waits_for_the_contract_phase(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    checkout = await changed(tmp_path, admin, CHANGES["a column that becomes NOT NULL"])
    run(server, database, checkout, WRITE)
    assert list(map(is_contract, written(checkout))) == [True, True]


async def test_the_parts_of_a_change_are_in_their_order_whatever_they_are_called(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    change = CHANGES["a column that refers to another table"]
    checkout = await changed(tmp_path, admin, change)
    run(server, database, checkout, f"alembic revision --autogenerate -m '{'very ' * 30}long'")
    assert tuple(map(operations, written(checkout))) == change.revisions
    history = run(server, database, checkout, "alembic history")
    assert re.findall(r"(\d of \d): very", history) == ["3 of 3", "2 of 3", "1 of 3"]
