"""A pooler is told to open its connections anew, after a run that changed what statements return."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import alembic
from tests.faults.checkout import checkout_with
from tests.processes.pgbouncer import Pgbouncer, pgbouncer

ADD = "op.execute('ALTER TABLE animals ADD COLUMN kind text')"
FAIL = "op.execute('SELECT 1/0')"


class Clients:
    """Clients of a pooler that all prepare the same statement, which it prepares once on each of its connections."""

    def __init__(self, pooler: Pgbouncer, database: str) -> None:
        self.url = pooler.url("zoo_api", database)

    async def read(self) -> None:
        """As a client that has just connected."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.fetch("SELECT * FROM animals")
        finally:
            await connection.close()

    async def prepared(self) -> int:
        """How often the statement is prepared on the pooler's connection."""
        connection = await asyncpg.connect(self.url)
        found = await connection.fetchval(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT * FROM animals'"
        )
        await connection.close()
        return int(found)


@pytest.fixture
async def pooler(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pgbouncer]:
    """One with a single connection to Postgres, so that clients find there what others have prepared."""
    async with pgbouncer(server, tmp_path_factory.mktemp("pgbouncer"), default_pool_size=1) as pooler:
        yield pooler


@pytest.fixture
async def clients(pooler: Pgbouncer, database: str) -> Clients:
    clients = Clients(pooler, database)
    await clients.read()
    return clients


def upgrade(server: Server, database: str, checkout: Path, pooler: str, code: int = 0) -> str:
    done = alembic({**server.environment(database), "MIGRATOR_POOLER_URL": pooler}, "upgrade", "head", cwd=checkout)
    assert done.returncode == code, done.stderr
    return done.stderr


async def test_a_prepared_statement_fails_until_the_pooler_is_told(
    server: Server, database: str, tmp_path: Path, pooler: Pgbouncer, clients: Clients
) -> None:
    said = upgrade(server, database, checkout_with(tmp_path / "one", add=ADD), "")
    assert "a pooler needs RECONNECT" in said
    with pytest.raises(asyncpg.InvalidCachedStatementError):
        await clients.read()
    more = "op.execute('ALTER TABLE animals ADD COLUMN more text')"
    said = upgrade(server, database, checkout_with(tmp_path / "two", add=ADD, more=more), pooler.console_url)
    assert "the pooler opens its connections anew" in said
    await clients.read()


async def test_it_is_told_of_what_was_committed_before_a_revision_failed(
    server: Server, database: str, tmp_path: Path, pooler: Pgbouncer, clients: Clients
) -> None:
    upgrade(server, database, checkout_with(tmp_path, add=ADD, fail=FAIL), pooler.console_url, code=1)
    await clients.read()


async def test_it_is_not_told_of_rows_indexes_constraints_and_new_tables(
    server: Server, database: str, tmp_path: Path, pooler: Pgbouncer, clients: Clients
) -> None:
    checkout = checkout_with(
        tmp_path,
        check="op.add_check_online('named', 'animals', 'id > 0')",
        index="op.create_index_online('ix_new', 'animals', ['species'])",
        table="op.execute('CREATE TABLE visits (id bigint PRIMARY KEY)')",
        rows="op.execute('INSERT INTO visits VALUES (1)')",
    )
    assert "pooler" not in upgrade(server, database, checkout, pooler.console_url)
    assert await clients.prepared() == 1


async def test_one_that_cannot_be_reached_is_a_warning(server: Server, database: str, tmp_path: Path) -> None:
    away = "postgresql://admin@127.0.0.1:1/pgbouncer"
    assert "the pooler was not told" in upgrade(server, database, checkout_with(tmp_path, add=ADD), away)
