"""`make fresh-migrations`: one first revision from the models, in a checkout of its own."""

import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.checkouts import quick_checkout
from tests.processes.test_history import FILES, REVISIONS
from tests.rounds import rounds

FUNCTION = '''"""A function.

Revision: f000
Follows: {head}
Created: 2099-01-01 00:00:00+00:00
"""

from alembic import op

revision = "f000"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n'")
    op.execute("CREATE TYPE mood AS ENUM ('good')")
    op.execute("CREATE TABLE parts_gone (mood mood, told int)")
    op.execute("CREATE TABLE parts_of_it (told int) PARTITION BY RANGE (told)")
    op.execute("CREATE TABLE all_of_it PARTITION OF parts_of_it DEFAULT")
    op.execute("ALTER TABLE exhibits ADD mood mood, ADD told int")
'''
# Tables of which each refers to the other: a foreign key can only be added when both are there.
EACH_OTHER = """
import sqlalchemy as sa
for one, other in (("lids", "pots"), ("pots", "lids")):
    sa.Table(
        one, Base.metadata, sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("other_id", sa.BigInteger, sa.ForeignKey(f"{other}.id"), index=True),
    )
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return quick_checkout(tmp_path)


def fresh(checkout: Path, url: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    if url:
        environment["MIGRATION_DATABASE_URL"] = url
    command: list[str | Path] = [checkout / ".venv" / "bin" / "python", "-m", "local.fresh_migrations"]
    return subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, check=False)


def commit(checkout: Path) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@zoo.example"]
    for command in (["add", "--all"], ["commit", "--quiet", "--message", "a change"]):
        subprocess.run([*git, *command], cwd=checkout, check=True)


def revisions(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / "migrator" / "versions").glob("*.py"))


def test_one_revision_makes_the_schema_of_the_models_and_what_only_revisions_know_is_named(checkout: Path) -> None:
    (checkout / "migrator" / "versions" / "2099_01_01_0000-function.py").write_text(FUNCTION.format(head=REVISIONS[-1]))
    before = revisions(checkout)
    refused = fresh(checkout)
    assert (refused.returncode, revisions(checkout)) == (1, before)
    assert "git does not have migrator/versions/2099_01_01_0000-function.py as it is: commit it first" in refused.stderr
    commit(checkout)
    done = fresh(checkout)
    assert done.returncode == 1
    gone = "all_of_it, exhibits.mood, exhibits.told, mood, parts_gone, parts_of_it"
    assert f"Without what no model has any more: {gone}\n" in done.stdout
    missing = done.stderr.partition("leave it out:\n")[2].splitlines()
    assert "CREATE FUNCTION public.twice(n integer) RETURNS integer" in missing[0]
    assert all(
        "twice" in line or "SELECT 2 * n" in line or line.strip() in {"LANGUAGE sql IMMUTABLE", "AS $$"}
        for line in missing
    )
    (name,) = revisions(checkout)
    text = (checkout / "migrator" / "versions" / name).read_text()
    (revision,) = re.findall(r'^revision = "(\w+)"', text, re.MULTILINE)
    assert f'SCHEMA_REVISION = "{revision}"' in (checkout / "api" / "database" / "engine.py").read_text()
    for command in (
        ["ruff", "check", "migrator", "api/database"],
        ["ruff", "format", "--check", "migrator", "api/database"],
        ["alembic_online", "lint"],
        # With the schema that the new revision makes, which the command itself compares with that of the old ones.
        *rounds(quick=[], full=[["pytest", "-q", "tests/api/test_tasks.py"]]),
    ):
        subprocess.run([checkout / ".venv/bin/python", "-m", *command], cwd=checkout, check=True, capture_output=True)


async def test_is_refused_where_there_are_data(
    checkout: Path, server: Server, database: str, admin: asyncpg.Connection
) -> None:
    before = revisions(checkout)
    unsafe = fresh(checkout, url="postgresql://zoo_migrator@127.0.0.1:1/zoo?sslmode=require")
    assert (unsafe.returncode, "can't be looked at" in unsafe.stderr) == (1, True)
    await admin.execute("INSERT INTO exhibits (name) VALUES ('Savanna')")
    refused = fresh(checkout, url=server.url("zoo_migrator", database))
    assert refused.returncode == 1
    assert "the database has data, in " in refused.stderr
    assert "docs/fresh-start.md" in refused.stderr
    assert revisions(checkout) == before


def test_models_that_do_not_make_one_revision_leave_all_as_it_was(checkout: Path) -> None:
    for later in FILES[1:]:  # whatever they are
        (checkout / "migrator" / "versions" / later.name).unlink()
    commit(checkout)
    before = revisions(checkout)
    models = checkout / "api" / "models" / "__init__.py"
    models.write_text(models.read_text() + EACH_OTHER)
    refused = fresh(checkout)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the models need 2 revisions:" in refused.stderr
    assert revisions(checkout) == before
