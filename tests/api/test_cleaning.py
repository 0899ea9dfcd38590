"""The api removes what is old, a few rows at a time, however many workers do so."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import asyncpg
import httpx
import pytest

from api.crud import cleaning
from api.crud.old_rows import OldRows
from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.conftest import Log, default_settings, started, state_of
from tests.python import HANGS

DAY = timedelta(days=1)
KEYS = "SELECT users.id, n, '', now(), NULL, NULL, NULL, now() - $1::interval FROM users,"
# For each table: how long its rows are kept, and 250 rows of some age, each with a number `n`.
ROWS = "generate_series(1, 250) AS n"
TABLES = {
    "idempotency_keys": (DAY, f"{KEYS} {ROWS} WHERE email LIKE 'visitor%'"),
    "throttles": (timedelta(minutes=15), f"SELECT 'n' || n, 1, now() - $1::interval FROM {ROWS}"),
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAUSE_SECONDS", "FIRST_AFTER_SECONDS"):
        monkeypatch.setattr(cleaning, name, 0)


async def clean(client: httpx.AsyncClient) -> None:
    await cleaning.clean(state_of(client).database, default_settings())


@pytest.mark.parametrize("table", TABLES)
async def test_old_rows_go_and_others_stay(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, table: str
) -> None:
    await go_when_they_are_old(committing_client, admin, table, *TABLES[table])


async def go_when_they_are_old(
    client: httpx.AsyncClient, admin: asyncpg.Connection, table: str, kept_for: timedelta, rows: str
) -> None:
    """That these rows go at this age, and not before."""
    await clean(client)
    before = await admin.fetchval(f"SELECT count(*) FROM {table}")
    await admin.execute(f"INSERT INTO {table} {rows}", kept_for - timedelta(minutes=1))
    await admin.execute(
        f"INSERT INTO {table} {rows.replace('(1, 250)', '(251, 500)')}", kept_for + timedelta(seconds=1)
    )
    await asyncio.gather(*(clean(client) for _ in range(3)))
    await clean(client)
    assert await admin.fetchval(f"SELECT count(*) FROM {table}") == before + 250


async def test_a_row_that_another_has_locked_is_left_for_later_and_nobody_waits(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await admin.execute("INSERT INTO throttles SELECT n, 1, now() - interval '1 day' FROM generate_series(1, 9) AS n")
    async with admin.transaction(), asyncio.timeout(HANGS):
        await admin.execute("SELECT FROM throttles WHERE key = '3' FOR UPDATE")
        await clean(committing_client)
        # Before the lock is gone, because the api cleans, too.
        assert [row["key"] for row in await admin.fetch("SELECT key FROM throttles")] == ["3"]
    await clean(committing_client)
    assert await admin.fetchval("SELECT count(*) FROM throttles") == 0


async def test_the_api_does_so_by_itself(server: Server, database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("INSERT INTO throttles SELECT n, 1, now() - interval '1 day' FROM generate_series(1, 1200) n")
    async with started(create_app(Settings(database_url=server.url("zoo_api", database)))):
        async with asyncio.timeout(HANGS):
            while await admin.fetchval("SELECT count(*) FROM throttles"):
                await asyncio.sleep(0.05)


async def test_it_begins_after_seconds_and_goes_on_once_a_minute_with_pauses_between_batches(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    await admin.execute("INSERT INTO throttles SELECT n, 1, now() - interval '1 day' FROM generate_series(1, 999) n")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(cleaning, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(cleaning.keep_clean(state_of(committing_client).database, default_settings()), 60)
    assert pauses == [5, 0.1, 60, 60, 60]


async def test_it_says_in_a_line_that_it_has_failed_and_goes_on(
    server: Server,
    database: str,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    log: Callable[[], list[Log]],
) -> None:
    monkeypatch.setattr(cleaning, "EVERY_SECONDS", 0.02)
    await admin.execute("INSERT INTO throttles VALUES ('old', 1, now() - interval '1 day')")
    await admin.execute("ALTER TABLE throttles RENAME TO moved")
    async with started(create_app(Settings(database_url=server.url("zoo_api", database)))), asyncio.timeout(HANGS):
        while not (said := [line for line in log() if line["event"] == "old rows left for now"]):
            await asyncio.sleep(0.01)
        assert "exception" not in said[0]
        await admin.execute("ALTER TABLE moved RENAME TO throttles")
        while await admin.fetchval("SELECT count(*) FROM throttles"):
            await asyncio.sleep(0.01)


def rows_of(table: str) -> OldRows:
    """What cleaning removes of a table."""
    (found,) = (old for old in cleaning.everything(default_settings()) if f"DELETE FROM {table} " in old.remove._sql)  # noqa: SLF001 - what is sent
    return found


@pytest.mark.parametrize("table", TABLES)
async def test_a_batch_reads_only_old_rows_by_an_index(
    server: Server, database: str, admin: asyncpg.Connection, table: str
) -> None:
    _, rows = TABLES[table]
    await admin.execute(f"INSERT INTO {table} {rows.replace('250', '3000')}", timedelta(0))
    await reads_only_old_rows(server, database, admin, rows_of(table))


async def reads_only_old_rows(server: Server, database: str, admin: asyncpg.Connection, old: OldRows) -> None:
    """That an index leads to what is old, of a table with rows that are not."""
    await admin.execute("ANALYZE")
    api = await asyncpg.connect(server.url("zoo_api", database))
    sql = old.remove._sql  # noqa: SLF001 - what is sent
    plan = "\n".join(row[0] for row in await api.fetch(f"EXPLAIN {sql}", timedelta(days=90)))
    await api.close()
    assert "Index Scan using ix_" in plan, plan
    assert "Seq Scan" not in plan.partition("CTE gone")[0].partition("CTE emptied")[0], plan
