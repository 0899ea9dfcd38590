"""Each worker keeps a row while it is at work, for the migrator to see."""

import asyncio
import socket
from collections.abc import Callable

import asyncpg
import pytest

from api.database import workers
from api.database.engine import transaction
from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.conftest import Log, started

ROWS = "SELECT application, release, host FROM migration_workers"
OURS = ("api", "0.3.7", socket.gethostname())


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SESSION_SECONDS", "SEEN_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(workers, name, 0.02)


@pytest.fixture
def settings(server: Server, database: str) -> Settings:
    return Settings(database_url=server.url("zoo_api", database), release="0.3.7")


async def until(admin: asyncpg.Connection, query: str) -> None:
    async with asyncio.timeout(30):
        while not await admin.fetchval(query):
            await asyncio.sleep(0.01)


async def test_a_row_is_there_while_it_serves_is_seen_again_and_again_and_ends_with_it(
    settings: Settings, admin: asyncpg.Connection
) -> None:
    async with started(create_app(settings)):
        await until(admin, "SELECT count(*) = 1 FROM migration_workers")
        await until(admin, "SELECT seen_at > started_at FROM migration_workers")
        assert await admin.fetch(ROWS) == [OURS]
    assert await admin.fetch(ROWS) == []


async def test_a_command_keeps_a_row_too(settings: Settings, admin: asyncpg.Connection) -> None:
    async with transaction(settings):
        await until(admin, "SELECT count(*) = 1 FROM migration_workers")
        assert await admin.fetch(ROWS) == [("api command", *OURS[1:])]
    assert await admin.fetch(ROWS) == []


async def test_a_row_comes_as_soon_as_there_is_a_table_for_it(settings: Settings, admin: asyncpg.Connection) -> None:
    """The migrator may be of an older release, or still to run."""
    await admin.execute("ALTER TABLE migration_workers RENAME TO not_yet")
    async with started(create_app(settings)) as client:
        assert (await client.get("/health/ready")).status_code == 200
        await admin.execute("ALTER TABLE not_yet RENAME TO migration_workers")
        await until(admin, "SELECT count(*) = 1 FROM migration_workers")
        await admin.execute("DROP TABLE migration_workers")
    # Its end does not need the table either.


async def test_a_row_comes_back_after_an_outage(
    settings: Settings, database: str, admin: asyncpg.Connection, maintenance: asyncpg.Connection
) -> None:
    async with started(create_app(settings)):
        await until(admin, "SELECT count(*) = 1 FROM migration_workers")
        await maintenance.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await admin.execute("DELETE FROM migration_workers")
        await maintenance.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        await until(admin, "SELECT count(*) = 1 FROM migration_workers")


async def test_rows_of_those_that_were_killed_are_forgotten(settings: Settings, admin: asyncpg.Connection) -> None:
    await admin.execute(
        "INSERT INTO migration_workers (id, application, release, host, seen_at) SELECT gen_random_uuid(), 'api',"
        " minutes || ' minutes', '', now() - minutes * interval '1 minute' FROM unnest(ARRAY[50, 70]) AS minutes"
    )
    async with started(create_app(settings)):
        await until(admin, "SELECT bool_or(release = '0.3.7') FROM migration_workers")
        releases = await admin.fetch("SELECT release FROM migration_workers ORDER BY 1")
        assert [release for (release,) in releases] == ["0.3.7", "50 minutes"]


async def test_without_the_right_to_keep_one_it_serves_and_says_so(
    settings: Settings, admin: asyncpg.Connection, log: Callable[[], list[Log]]
) -> None:
    def said() -> list[Log]:
        return [line for line in log() if line["event"] == "the migrator can't see this worker"]

    await admin.execute("REVOKE ALL ON migration_workers FROM zoo_api")
    async with started(create_app(settings)) as client:
        while not said():
            await asyncio.sleep(0.01)
        assert (await client.get("/animals")).status_code == 200
    assert len(said()) == 1
    assert "permission denied for table migration_workers" in said()[0]["reason"]
