"""Rehearsals of the lint's examples: what a statement is seen to lock depends on no race, and is always as planned."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from alembic_online.rehearsal import watch
from alembic_online.rehearsal.lock_observation import LockObservation
from alembic_online.rehearsal.rehearse import rehearse
from alembic_online.settings import Settings
from local.postgres import Server, binaries
from tests.alembic_online.lint.examples import commits, examples, name_of, notes
from tests.alembic_online.lint.running import copy, template
from tests.alembic_online.zoo import ZOO
from tests.conftest import ROOT, superuser
from tests.rounds import rounds

__all__ = ["template"]  # a fixture

# Two have no phase that there is, so that they are refused before they run; one writes other SQL in each run.
NOT_AS_PLANNED = {"unsafe-077-contract-without-release", "unsafe-078-phase-that-there-is-not",
                  "unsafe-092-otherwise-when-it-is-written"}  # fmt: skip
EXAMPLES = [
    file
    for file in [*examples("safe"), *examples("unsafe")]
    if "fails" not in notes(file) and name_of(file) not in NOT_AS_PLANNED
]
# Outside of a transaction, locks are seen while the statement runs, or never.
# One that looks so late sees them only because the statement is held up until it has looked.
LOOKS_SECONDS = rounds(quick=0.2, full=watch.POLL_SECONDS)
REHEARSED = rounds(quick=[file for file in EXAMPLES if commits(file)][::5], full=EXAMPLES)


@pytest.fixture(scope="module")
async def unmigrated(server: Server, maintenance: asyncpg.Connection, template: str) -> AsyncIterator[str]:
    """A copy of the template in which no revision is known to be applied."""
    async with copy(maintenance, template) as database:
        connection = await superuser(server, database)
        await connection.execute("TRUNCATE alembic_version, migration_history")
        await connection.close()
        yield database


@pytest.mark.parametrize("file", REHEARSED, ids=name_of)
async def test_an_example_is_always_as_planned(  # noqa: PLR0913, PLR0917 - fixtures
    server: Server,
    maintenance: asyncpg.Connection,
    unmigrated: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: Path,
) -> None:
    monkeypatch.setenv("PATH", str(binaries()), prepend=":")  # has the server's pg_dump
    monkeypatch.setattr(watch, "POLL_SECONDS", LOOKS_SECONDS)
    said = notes(file)
    (tmp_path / file.name).write_text(file.read_text())
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrator"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(tmp_path))
    project = replace(ZOO, config=config, scripts=ScriptDirectory.from_config(config))
    async with copy(maintenance, unmigrated) as database:
        connection = await superuser(server, database)
        if int(said.get("since", 0)) > connection.get_server_version().major:
            pytest.skip(f"from Postgres {said['since']} on")
        await connection.execute(f"SET ROLE zoo_migrator; {said.get('needs', '')}")
        await connection.close()
        url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()
        for _ in range(rounds(quick=1, full=20)):
            found = await rehearse(url, project, 0)
            assert found.legs[0].error is None
            assert found.surprises == []
            assert {statement.not_measured for statement in found.statements} <= {None, LockObservation.POLLED}
