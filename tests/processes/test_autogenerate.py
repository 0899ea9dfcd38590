"""After an ordinary change of the models, `alembic revision --autogenerate` writes revisions that run unchanged.

That they leave the schema as it was when they are taken back, tests/faults/test_model_pairs.py proves; more changes are
in tests/faults/test_model_changes.py, in one process.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
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
WRITE, LINT = f"alembic revision --autogenerate -m '{'very ' * 30}long'", "alembic_online lint"
UP, DOWN, CHECK = "alembic upgrade head", f"alembic downgrade {REVISIONS[-1]}", "alembic check"
# What the previous release goes on doing.
OLD_INSERT = "INSERT INTO animals (name) VALUES ('A0')"
# Changes that can be made at once: a run of the commands takes longer than a further change in it.
TOGETHER = (
    (
        "tables", "a NOT NULL column of an enum type", "a column that refers to another table",
        "a column that becomes nullable", "a unique constraint",
    ),
    (
        "an index that is another under its name", "a foreign key that does something else",
        "a column that becomes NOT NULL",
    ),
)  # fmt: skip
REFUSED_TOGETHER = (
    ("a column by another name", "a table that goes"),
    ("a type that rewrites", "an identity", "a generated column", "a NOT NULL foreign key"),
)


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
    """Run commands of Alembic, of the migrator, and SQL of the api, in one process, and return what they print."""
    arguments = [shlex.split(command) for command in commands]
    script = (
        "import asyncio, asyncpg, os\nfrom alembic.config import main\nfrom alembic_online.__main__ import app\n"
        "async def sql(given):\n    connection = await asyncpg.connect(os.environ['DATABASE_URL'])\n"
        "    await connection.execute(*given)\n    await connection.close()\n"
        "call = {\n    'alembic': main, 'alembic_online': lambda given: app(given, standalone_mode=False),\n"
        "    'sql': lambda given: asyncio.run(sql(given)),\n}\n"
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


def all_of(known: dict[str, Change], names: Sequence[str]) -> Change:
    """These changes, as one."""
    changes = [known[name] for name in names]
    return Change(
        edits=tuple(edit for change in changes for edit in change.edits),
        revisions=tuple(revision for change in changes for revision in change.revisions),
        before=";".join(filter(None, (change.before for change in changes))),
        recipe=tuple(part for change in changes for part in change.recipe),
    )


def words(revisions: Iterable[str]) -> list[str]:
    return sorted(" ".join(revisions).split())


def test_those_that_are_made_together_have_every_operation() -> None:
    made = {word for names in TOGETHER for word in words(all_of(CHANGES, names).revisions)}
    assert made == {word for change in CHANGES.values() for word in words(change.revisions)}


@pytest.mark.parametrize("names", rounds(quick=TOGETHER, full=[(name,) for name in CHANGES]), ids=", ".join)
async def test_what_is_written_is_all_there_is_to_do(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, names: Sequence[str]
) -> None:
    change = all_of(CHANGES, names)
    checkout = await changed(tmp_path, admin, change)
    printed = run(server, database, checkout, WRITE, LINT, UP, CHECK, "alembic history", DOWN)
    revisions = written(checkout)
    made = tuple(map(operations, revisions))
    assert made == change.revisions if len(names) == 1 else words(made) == words(change.revisions)
    assert printed.count("Generating") == len(revisions)
    assert re.search(rf"\b{len(revisions)} revisions?, nothing found", printed)
    assert "No new upgrade operations detected." in printed
    # The parts are in their order, however long the names of their files would be.
    numbers = [str(number).zfill(len(str(len(revisions)))) for number in range(1, len(revisions) + 1)]
    parts = [f"{number} of {len(revisions)}" for number in numbers] if len(revisions) > 1 else []
    assert re.findall(r"(\d+ of \d+): very", printed) == parts[::-1]
    assert [found[0] for path in revisions if (found := re.search(r"\d+ of \d+", path.read_text()))] == parts
    for arguments in ("check", "format --check"):
        subprocess.run(
            [Path(sys.executable).with_name("ruff"), *arguments.split(), *revisions], cwd=checkout, check=True
        )
    if "a column that becomes NOT NULL" in names:  # what the previous release writes
        assert words(operations(path) for path in revisions if is_contract(path)) == ["backfill", "set_not_null_online"]


@pytest.mark.parametrize("names", rounds(quick=REFUSED_TOGETHER, full=[(name,) for name in REFUSED]), ids=", ".join)
async def test_what_cant_be_known_is_not_guessed(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, names: Sequence[str]
) -> None:
    change = all_of(REFUSED, names)
    checkout = await changed(tmp_path, admin, change)
    run(server, database, checkout, WRITE, LINT, UP, DOWN)
    revisions = written(checkout)
    assert words(map(operations, revisions)) == words(change.revisions)
    said = " ".join(map(comments, revisions))
    assert [recipe for recipe in change.recipe if recipe not in said] == []
    assert await admin.fetchval("SELECT count(name) FROM animals") == 50


async def test_the_previous_release_goes_on_until_the_contract_phase(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    checkout = await changed(tmp_path, admin, CHANGES["a NOT NULL column"])
    step = ("alembic upgrade +1", f"sql {shlex.quote(OLD_INSERT)}")
    run(server, database, checkout, WRITE, *step * 3)
    assert list(map(is_contract, written(checkout))) == [False, False, False, True]
    assert await admin.fetchval("SELECT count(*) FROM animals WHERE habitat IS NULL") == 0
    run(server, database, checkout, UP, CHECK)
    with pytest.raises(asyncpg.NotNullViolationError):
        await admin.execute(OLD_INSERT)
