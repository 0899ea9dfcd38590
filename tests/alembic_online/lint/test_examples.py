"""Each example has exactly the findings that it expects, or none, and does on Postgres what it says.

Examples with more than one transaction are run in tests/faults.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from local.postgres import Server
from tests.alembic_online.lint.examples import commits, examples, expected, findings, name_of, notes
from tests.alembic_online.lint.running import run, template
from tests.each import each

__all__ = ["template"]  # a fixture

UNSAFE, SAFE = examples("unsafe"), examples("safe")
RUN = [file for file in [*UNSAFE, *SAFE] if not commits(file)]


def test_each_unsafe_example_is_found_where_it_says() -> None:
    for file in UNSAFE:
        assert expected(file), file
        found = findings("unsafe")[file]
        assert {(each.line, each.rule) for each in found} == expected(file), "\n".join(map(str, [file, *found]))


def test_each_safe_example_passes() -> None:
    assert [str(finding) for file in SAFE for finding in findings("safe")[file]] == []


@pytest.fixture(scope="module")
async def engine(server: Server, template: str) -> AsyncIterator[AsyncEngine]:
    """Of one connection to a database where nothing is ever committed."""
    url = server.url("zoo_migrator", template).replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(url, pool_size=1, max_overflow=0)
    yield engine
    await engine.dispose()


@each("file", [file for file in RUN if "since" not in notes(file)])
async def test_an_example_runs_or_fails_as_it_says(engine: AsyncEngine, file: Path) -> None:
    await run(engine, file, commit=False)


@pytest.mark.parametrize("file", [file for file in RUN if "since" in notes(file)], ids=name_of)
async def test_so_does_one_that_needs_a_newer_postgres_or_it_is_skipped(engine: AsyncEngine, file: Path) -> None:
    await run(engine, file, commit=False)
