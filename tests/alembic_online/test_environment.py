"""Alembic called by code: it does what the command line does, and leaves the log and errors to its caller."""

import asyncio
from io import StringIO
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from alembic_online.errors import ConfigurationError, DatabaseUnreachable, LocksNotObtained
from alembic_online.runs.lock import LOCK_KEY
from local.postgres import Server
from tests.checkouts import linked_checkout
from tests.conftest import ROOT
from tests.processes.test_history import REVISIONS, UP, history


def config(output: StringIO | None = None) -> Config:
    return Config(toml_file=ROOT / "pyproject.toml", output_buffer=output or StringIO())


@pytest.fixture
def migrated(server: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database to which the settings lead."""
    monkeypatch.setenv("MIGRATION_DATABASE_URL", server.url("zoo_migrator", database))
    return database


async def test_it_goes_down_and_up(
    server: Server, migrated: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEASE", "1.2.3")
    await asyncio.to_thread(command.downgrade, config(), "-1")
    await asyncio.to_thread(command.upgrade, config(), "head")
    assert await history(server, migrated) == [*UP, (REVISIONS[-1], "downgrade"), UP[-1]]
    releases = await admin.fetch("SELECT release FROM migration_history ORDER BY id DESC LIMIT 2")
    assert [row["release"] for row in releases] == ["1.2.3", "1.2.3"]


async def test_sql_is_written_without_a_database() -> None:
    written = StringIO()
    await asyncio.to_thread(command.upgrade, config(written), "head", sql=True)
    assert "SET lock_timeout = '500ms'" in written.getvalue()
    for created in ("animals", "migration_workers", "migration_schema", "migration_history"):
        assert f"CREATE TABLE {created}" in written.getvalue().replace("IF NOT EXISTS ", "")
    lines = [line.strip() for line in written.getvalue().splitlines()]
    assert lines.count("BEGIN;") >= len(REVISIONS)


async def test_what_only_reads_waits_for_no_lock_and_changes_nothing(migrated: str, admin: asyncpg.Connection) -> None:
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    await admin.execute("DELETE FROM migration_schema")
    shown = Config(toml_file=ROOT / "pyproject.toml", stdout=(written := StringIO()))
    await asyncio.to_thread(command.current, shown)
    assert REVISIONS[-1] in written.getvalue()
    await asyncio.to_thread(command.check, config())
    assert await admin.fetchval("SELECT count(*) FROM migration_schema") == 0
    assert migrated


async def test_what_alembic_can_not_tell_the_type_of_is_no_warning(migrated: str, admin: asyncpg.Connection) -> None:
    await admin.execute("ALTER TABLE animals ADD COLUMN place point")
    with pytest.raises(CommandError, match=r"New upgrade operations detected: .*'place'"):
        await asyncio.to_thread(command.check, config())
    assert migrated


async def test_what_is_in_the_way_is_an_error(
    migrated: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATOR_LOCK_TIMEOUT", "0")
    await admin.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    with pytest.raises(LocksNotObtained):
        await asyncio.to_thread(command.upgrade, config(), "head")
    await admin.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
    await admin.execute(f"ALTER DATABASE {migrated} SET default_transaction_read_only = on")
    monkeypatch.setenv("MIGRATOR_WAIT_SECONDS", "0")
    with pytest.raises(DatabaseUnreachable, match="read-only"):
        await asyncio.to_thread(command.upgrade, config(), "head")
    await asyncio.to_thread(command.current, config())


async def test_a_revision_that_can_not_be_loaded_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = linked_checkout(tmp_path)
    (checkout / "migrator" / "versions" / "broken.py").write_text("def upgrade(:\n")
    monkeypatch.chdir(checkout)
    with pytest.raises(ConfigurationError, match=r"broken\.py: the revision can't be loaded"):
        await asyncio.to_thread(command.upgrade, config(), "head", sql=True)
