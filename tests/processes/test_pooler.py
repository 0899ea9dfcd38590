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


class Client:
    """A client through the pooler, which executes a statement that is prepared on the pooler's connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def prepare(self) -> None:
        await self.connection.execute("PREPARE animals AS SELECT * FROM animals")

    async def read(self) -> None:
        """Execute the statement; PgBouncer from 1.21 on prepares it first where a connection does not have it."""
        if not await self.backend_has():
            await self.prepare()
        await self.connection.execute("EXECUTE animals")

    async def backend_has(self) -> bool:
        found = await self.connection.execute("SELECT FROM pg_prepared_statements WHERE name = 'animals'")
        return bool(found == "SELECT 1")


@pytest.fixture
async def pooler(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pgbouncer]:
    async with pgbouncer(server, tmp_path_factory.mktemp("pgbouncer")) as pooler:
        yield pooler


@pytest.fixture
async def client(pooler: Pgbouncer, database: str) -> AsyncIterator[Client]:
    connection = await asyncpg.connect(pooler.url("zoo_api", database))
    client = Client(connection)
    await client.prepare()
    yield client
    await connection.close()


def upgrade(server: Server, database: str, checkout: Path, pooler: str, code: int = 0) -> str:
    done = alembic({**server.environment(database), "MIGRATOR_POOLER_URL": pooler}, "upgrade", "head", cwd=checkout)
    assert done.returncode == code, done.stderr
    return done.stderr


async def test_a_prepared_statement_fails_until_the_pooler_is_told(
    server: Server, database: str, tmp_path: Path, pooler: Pgbouncer, client: Client
) -> None:
    said = upgrade(server, database, checkout_with(tmp_path / "one", add=ADD), "")
    assert "a pooler needs RECONNECT" in said
    with pytest.raises(asyncpg.InvalidCachedStatementError):
        await client.read()
    more = "op.execute('ALTER TABLE animals ADD COLUMN more text')"
    said = upgrade(
        server, database, checkout_with(tmp_path / "two", add=ADD, more=more), pooler.url("admin", "pgbouncer")
    )
    assert "the pooler opens its connections anew" in said
    await client.read()


async def test_it_is_told_of_what_was_committed_before_a_revision_failed(
    server: Server, database: str, tmp_path: Path, pooler: Pgbouncer, client: Client
) -> None:
    upgrade(server, database, checkout_with(tmp_path, add=ADD, fail=FAIL), pooler.url("admin", "pgbouncer"), code=1)
    await client.read()


async def test_it_is_not_told_of_rows_indexes_constraints_and_new_tables(
    server: Server, database: str, tmp_path: Path, pooler: Pgbouncer, client: Client
) -> None:
    checkout = checkout_with(
        tmp_path,
        check="op.add_check_online('named', 'animals', 'id > 0')",
        index="op.create_index_online('ix_new', 'animals', ['species'])",
        table="op.execute('CREATE TABLE visits (id bigint PRIMARY KEY)')",
        rows="op.execute('INSERT INTO visits VALUES (1)')",
    )
    assert "pooler" not in upgrade(server, database, checkout, pooler.url("admin", "pgbouncer"))
    assert await client.backend_has()


async def test_one_that_cannot_be_reached_is_a_warning(server: Server, database: str, tmp_path: Path) -> None:
    away = "postgresql://admin@127.0.0.1:1/pgbouncer"
    assert "the pooler was not told" in upgrade(server, database, checkout_with(tmp_path, add=ADD), away)
