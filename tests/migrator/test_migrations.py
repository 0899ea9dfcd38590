"""The migrations themselves: a single line, each goes up and down, and they agree with the models."""

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_alembic
from alembic.command import upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from pytest_alembic.runner import MigrationContext
from pytest_alembic.tests import (  # noqa: F401 - collected here by name
    test_model_definitions_match_ddl,
    test_single_head_revision,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_online.runs.contract import is_contract
from api.database.engine import SCHEMA_REVISION
from local.postgres import Server
from tests.conftest import ROOT, engine_for, superuser
from tests.processes.test_schema import schema

OWN = ("alembic_online", "api", "migrator", "local", "stack_settings")
VERSIONS = sorted((ROOT / "migrator" / "versions").glob("*.py"))


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


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.name)
class TestFile:
    def test_is_named_by_its_date_and_subject(self, path: Path) -> None:
        assert re.fullmatch(r"\d{4}_\d\d_\d\d_\d{4}-[a-z0-9_]+\.py", path.name)

    def test_says_why_it_exists(self, path: Path) -> None:
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert re.search(r"^Why: [^<\s]", docstring, re.MULTILINE)

    def test_does_not_import_the_app(self, path: Path) -> None:
        imported = [
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        ]
        assert [name for name in imported if name.split(".")[0] in OWN] == []


def test_nothing_but_a_migration_makes_tables() -> None:
    sources = [path for folder in OWN for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in sources if "create_all" in path.read_text()] == []


async def test_text_of_before_gets_the_form_that_is_sought(
    server: Server, empty_database: str, alembic_config: Config
) -> None:
    alembic_config.attributes["connection"] = engine_for(server.url("zoo_migrator", empty_database))
    await asyncio.to_thread(upgrade, alembic_config, "3b8a500f1cd2")
    connection = await superuser(server, empty_database)
    await connection.execute(
        "INSERT INTO exhibits (name, location, description)"
        " VALUES (U&'Zoe\\0308', U&'\\200bNorth\\FEFF', U&'e\\0308\\200b');"
        "INSERT INTO animals (name) VALUES (U&'Zo\\00ade\\0308'), ('Amara');"
        "INSERT INTO staff (name) VALUES (U&'A\\030A')"
    )
    await asyncio.to_thread(upgrade, alembic_config, "head")
    assert tuple(await connection.fetchrow("SELECT name, location, description FROM exhibits")) == (
        "Zo\u00eb", "North", "\u00eb\u200b",
    )  # fmt: skip
    assert [row[0] for row in await connection.fetch("SELECT name FROM animals ORDER BY id")] == ["Zo\u00eb", "Amara"]
    assert await connection.fetchval("SELECT name FROM staff") == "\u00c5"
    await connection.close()
