"""The lint's examples that commit by themselves, each in a database of its own."""

from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.alembic_online.lint.examples import commits, examples, name_of
from tests.alembic_online.lint.running import copy, run, template
from tests.conftest import engine_for

__all__ = ["template"]  # a fixture


@pytest.mark.parametrize(
    "file", [file for file in [*examples("unsafe"), *examples("safe")] if commits(file)], ids=name_of
)
async def test_an_example_that_commits_runs_or_fails_as_it_says(
    server: Server, maintenance: asyncpg.Connection, template: str, file: Path
) -> None:
    async with copy(maintenance, template) as database:
        await run(engine_for(server.url("zoo_migrator", database)), file, commit=True)
