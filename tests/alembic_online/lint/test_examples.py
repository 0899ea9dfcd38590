"""Each example has exactly the findings that it expects, or none, and does on Postgres what it says.

Examples with more than one transaction are run in tests/faults.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.alembic_online.lint.examples import commits, examples, expected, findings, name_of
from tests.alembic_online.lint.running import copy, run, template

__all__ = ["template"]  # a fixture

UNSAFE, SAFE = examples("unsafe"), examples("safe")


@pytest.mark.parametrize("file", UNSAFE, ids=name_of)
def test_an_unsafe_example_is_found_where_it_says(file: Path) -> None:
    assert expected(file)
    found = findings("unsafe")[file]
    assert {(finding.line, finding.rule) for finding in found} == expected(file), "\n".join(map(str, found))


@pytest.mark.parametrize("file", SAFE, ids=name_of)
def test_a_safe_example_passes(file: Path) -> None:
    assert [str(finding) for finding in findings("safe")[file]] == []


@pytest.fixture(scope="module")
async def shared(maintenance: asyncpg.Connection, template: str) -> AsyncIterator[str]:
    """A database where nothing is ever committed."""
    async with copy(maintenance, f"{template}_shared", template) as database:
        yield database


@pytest.mark.parametrize("file", [file for file in [*UNSAFE, *SAFE] if not commits(file)], ids=name_of)
async def test_an_example_runs_or_fails_as_it_says(server: Server, shared: str, file: Path) -> None:
    await run(server, shared, file, commit=False)
