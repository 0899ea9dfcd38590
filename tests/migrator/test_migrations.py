"""The migrations themselves: a single line, and each goes up and down.

That they agree with the models, tests/alembic_online has (test_environment.py; on each Postgres, test_drift.py).
"""

import ast
import re
from collections.abc import Iterator
from functools import partial

import asyncpg
import pytest
import pytest_alembic
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from pytest_alembic.runner import MigrationContext
from pytest_alembic.tests import test_single_head_revision  # noqa: F401 - collected here by name
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_online.runs.contract import is_contract
from api.database.engine import SCHEMA_REVISION
from local.postgres import Server
from tests.alembic_online.operating import operate
from tests.conftest import ROOT, engine_for
from tests.processes.test_schema import schema

OWN = ("alembic_online", "api", "migrator", "local", "stack_settings")
TREES = {path.name: ast.parse(path.read_text()) for path in (ROOT / "migrator" / "versions").glob("*.py")}


@pytest.fixture
def alembic_config() -> Config:
    return Config(toml_file=str(ROOT / "pyproject.toml"))


@pytest.fixture
def alembic_engine(server: Server, database: str) -> AsyncEngine:
    """For a database that the session's start has brought from nothing to the newest revision."""
    return engine_for(server.url("zoo_migrator", database))


@pytest.fixture
def alembic_runner(alembic_config: Config, alembic_engine: AsyncEngine) -> Iterator[MigrationContext]:
    config = pytest_alembic.Config.from_raw_config(alembic_config)
    with pytest_alembic.runner(config, alembic_engine) as runner:  # type: ignore[arg-type]  # it takes asynchronous ones
        yield runner


def test_all_go_down_and_up_again_to_the_same_schema(
    alembic_runner: MigrationContext, server: Server, database: str
) -> None:
    before = schema(server, database)
    alembic_runner.raw_command("downgrade", "base")  # in one run: one for each revision takes four times as long
    assert alembic_runner.current == "base"
    alembic_runner.raw_command("upgrade", "heads")
    assert schema(server, database) == before


def test_the_api_needs_the_newest_revision_that_expands(alembic_config: Config) -> None:
    newest_first = ScriptDirectory.from_config(alembic_config).walk_revisions()
    assert next(revision.revision for revision in newest_first if not is_contract(revision)) == SCHEMA_REVISION


class TestFiles:
    def test_each_is_named_by_its_date_and_subject(self) -> None:
        assert [name for name in TREES if not re.fullmatch(r"\d{4}_\d\d_\d\d_\d{4}-[a-z0-9_]+\.py", name)] == []

    def test_each_says_why_it_exists(self) -> None:
        why = re.compile(r"^Why: [^<\s]", re.MULTILINE)
        assert [name for name, tree in TREES.items() if not why.search(ast.get_docstring(tree) or "")] == []

    def test_none_imports_the_app(self) -> None:
        imported = [
            (name, module)
            for name, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        ]
        assert imported
        assert [(name, module) for name, module in imported if module.split(".")[0] in OWN] == []


def test_nothing_but_a_migration_makes_tables() -> None:
    sources = [path for folder in OWN for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in sources if "create_all" in path.read_text()] == []


async def test_text_of_before_gets_the_form_that_is_sought(
    server: Server, database: str, admin: asyncpg.Connection, alembic_config: Config
) -> None:
    await admin.execute(
        "INSERT INTO exhibits (name, location, description)"
        " VALUES (U&'Zoe\\0308', U&'\\200bNorth\\FEFF', U&'e\\0308\\200b');"
        "INSERT INTO animals (name) VALUES (U&'Zo\\00ade\\0308'), ('Amara');"
        "INSERT INTO staff (name) VALUES (U&'A\\030A')"
    )
    of_text = ScriptDirectory.from_config(alembic_config).iterate_revisions("1d122c4cabd6", "303050f83c81")
    await operate(server, database, *(partial(_upgrade, revision) for revision in of_text))
    assert tuple(await admin.fetchrow("SELECT name, location, description FROM exhibits")) == (
        "Zo\u00eb", "North", "\u00eb\u200b",
    )  # fmt: skip
    assert [row[0] for row in await admin.fetch("SELECT name FROM animals ORDER BY id")] == ["Zo\u00eb", "Amara"]
    assert await admin.fetchval("SELECT name FROM staff") == "\u00c5"


def _upgrade(revision: Script, _: object) -> None:
    revision.module.upgrade()
