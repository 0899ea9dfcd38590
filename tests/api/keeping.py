"""One database for all tests of a module that really commit: each finds it as new, without what others have written.

For tests that change nothing but rows: a clone for each of them, and the first connections to it, cost as much as ten
requests.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import superuser

# In the order of their names: foreign keys and triggers are not looked at while rows are put back.
TABLES = (
    "SELECT quote_ident(relname) AS name, (SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE"
    " attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS columns"
    " FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    " AND relname !~ '^(migration|alembic)_' ORDER BY relname"
)


@pytest.fixture(scope="module")
async def keeping(server: Server, module_database: str) -> AsyncIterator[tuple[asyncpg.Connection, str]]:
    """A superuser's connection to the module's database, and the SQL that makes it as new."""
    connection = await superuser(server, module_database)
    put_back = ["SET LOCAL session_replication_role = replica"]
    for table, columns in await connection.fetch(TABLES):
        put_back.append(f"DELETE FROM {table}")
        if await connection.fetchval(f"SELECT count(*) FROM {table}"):
            await connection.execute(f"CREATE TABLE kept_{table} AS TABLE {table}")
            put_back.append(
                f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM kept_{table}"
            )
    yield connection, "; ".join(put_back)
    await connection.close()


@pytest.fixture
async def database(module_database: str, keeping: tuple[asyncpg.Connection, str]) -> AsyncIterator[str]:
    """The module's database, as new."""
    yield module_database
    connection, put_back = keeping
    await connection.execute(put_back)


@pytest.fixture
async def admin(database: str, keeping: tuple[asyncpg.Connection, str]) -> AsyncIterator[asyncpg.Connection]:  # noqa: ARG001 - not without it
    """A superuser's connection to the module's database."""
    connection, _ = keeping
    yield connection
    await connection.reset()


@asynccontextmanager
async def hidden(admin: asyncpg.Connection, table: str) -> AsyncIterator[None]:
    """For all but the test, there is no such table."""
    await admin.execute(f"ALTER TABLE {table} RENAME TO hidden")
    try:
        yield
    finally:
        await admin.execute(f"ALTER TABLE hidden RENAME TO {table}")
