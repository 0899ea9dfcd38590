"""Which release of the api autogenerate writes into a contract revision."""

import asyncpg
import pytest

from alembic_online.autogenerate.release import next_release
from local.postgres import Server
from tests.conftest import engine_for


async def found(server: Server, database: str, version: str) -> str:
    engine = engine_for(server.url("zoo_migrator", database))
    async with engine.connect() as connection:
        release = await connection.run_sync(next_release, version)
    await engine.dispose()
    return release


@pytest.mark.parametrize(
    ("version", "release"), [("1.2.3", "1.3.0"), ("1.2", "1.3.0"), ("1.3.0rc1", "1.4.0"), ("1.3.0", "1.3.0")]
)
async def test_one_that_has_migrated_this_database_had_other_models_so_it_is_the_next(
    server: Server, database: str, admin: asyncpg.Connection, version: str, release: str
) -> None:
    if version != release:
        await admin.execute("UPDATE migration_history SET release = $1", version)
    assert await found(server, database, version) == release


async def test_on_a_database_that_was_never_migrated_it_is_the_present_one(server: Server, empty_database: str) -> None:
    assert await found(server, empty_database, "1.3.0") == "1.3.0"
