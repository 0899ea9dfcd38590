"""Servers of a test's own: copies of one that has the schema; among them a primary and its replica."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres import DATABASE, serve
from tests.conftest import FAST_AND_FORGETFUL, alembic
from tests.faults.replication import Node, primary_of, replica_of
from tests.users import add_people


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a server with the schema and people, to be copied (replication.py)."""
    data = tmp_path_factory.mktemp("origin") / "data"
    with serve(data, FAST_AND_FORGETFUL, DATABASE) as server:
        assert alembic(server.environment(), "upgrade", "head").returncode == 0
        asyncio.run(add_people(server, DATABASE))
    return data


@pytest.fixture
def primary(origin: Path, tmp_path: Path) -> Iterator[Node]:
    with primary_of(origin, tmp_path) as node:
        asyncio.run(node.do("INSERT INTO exhibits (name) VALUES ('old')"))
        asyncio.run(node.do("INSERT INTO animals (name, exhibit_id) VALUES ('old', 1)"))
        yield node


@pytest.fixture
def replica(primary: Node, origin: Path, tmp_path: Path) -> Iterator[Node]:
    with replica_of(primary, origin, tmp_path) as node:
        yield node
