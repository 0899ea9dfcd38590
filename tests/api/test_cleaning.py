"""The api removes what is old, a few rows at a time, however many workers do so."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg
import httpx
import pytest

from api.crud import cleaning
from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.orders.ordering import TEA, order
from tests.api.people import KEEPER, VISITOR
from tests.conftest import Log, started, state_of

DAY = timedelta(days=1)
USERS = "users, generate_series(1, 250) AS n WHERE email LIKE 'visitor%'"
# For each table: how long its rows are kept, and 250 rows of some age.
TABLES = {
    "access_tokens": (DAY, f"SELECT 'n' || n, users.id, now() - $1::interval FROM {USERS}"),
    "idempotency_keys": (
        DAY,
        f"SELECT users.id, n, '', now(), NULL, NULL, NULL, now() - $1::interval FROM {USERS}",
    ),
    "throttles": (
        timedelta(minutes=15),
        f"SELECT 'n' || n, 1, now() - $1::interval FROM {USERS}",
    ),
    "known_addresses": (
        90 * DAY,
        f"SELECT users.id, n, now() - $1::interval FROM {USERS}",
    ),
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAUSE_SECONDS", "FIRST_AFTER_SECONDS"):
        monkeypatch.setattr(cleaning, name, 0)


async def clean(client: httpx.AsyncClient) -> None:
    await cleaning.clean(state_of(client).database, DAY)


@pytest.mark.parametrize("table", TABLES)
async def test_old_rows_go_and_others_stay(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, table: str
) -> None:
    kept_for, rows = TABLES[table]
    await clean(committing_client)
    before = await admin.fetchval(f"SELECT count(*) FROM {table}")
    young = rows.replace("'n' || n", "'m' || n").replace("users.id, n,", "users.id, 'm' || n,")
    await admin.execute(f"INSERT INTO {table} {young}", kept_for - timedelta(minutes=1))
    await admin.execute(f"INSERT INTO {table} {rows}", kept_for + timedelta(seconds=1))
    await asyncio.gather(*(clean(committing_client) for _ in range(3)))
    await clean(committing_client)
    assert await admin.fetchval(f"SELECT count(*) FROM {table}") == before + 250


async def test_a_row_that_another_has_locked_is_left_for_later_and_nobody_waits(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await admin.execute("INSERT INTO throttles SELECT n, 1, now() - interval '1 day' FROM generate_series(1, 9) AS n")
    async with admin.transaction(), asyncio.timeout(5):
        await admin.execute("SELECT FROM throttles WHERE key = '3' FOR UPDATE")
        await clean(committing_client)
        # Before the lock is gone, because the api cleans, too.
        assert [row["key"] for row in await admin.fetch("SELECT key FROM throttles")] == ["3"]
    await clean(committing_client)
    assert await admin.fetchval("SELECT count(*) FROM throttles") == 0


async def test_the_items_of_an_order_go_a_month_after_it_was_deleted(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    old, young, kept = [await order(committing_client, TEA, TEA) for _ in range(3)]
    for path in (old, young):
        assert (await committing_client.delete(path, headers=VISITOR)).status_code == 204
    age = "UPDATE orders SET deleted_at = deleted_at - $1::interval WHERE id = $2"
    await admin.execute(age, 30 * DAY, old.rpartition("/")[2])
    await admin.execute(age, 30 * DAY - timedelta(minutes=1), young.rpartition("/")[2])
    await asyncio.gather(*(clean(committing_client) for _ in range(3)))
    left = await admin.fetch("SELECT order_id, count(*) FROM order_items GROUP BY order_id")
    assert {str(row["order_id"]): row["count"] for row in left} == {
        path.rpartition("/")[2]: 2 for path in (young, kept)
    }
    assert await admin.fetchval("SELECT count(*) FROM order_events") == 3
    assert (await committing_client.get(old, headers=KEEPER)).status_code == 404


async def test_a_deleted_order_that_another_has_locked_is_left_for_later_and_nobody_waits(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    path = await order(committing_client, TEA)
    await committing_client.delete(path, headers=VISITOR)
    await admin.execute("UPDATE orders SET deleted_at = now() - interval '31 days'")
    async with admin.transaction(), asyncio.timeout(5):
        await admin.execute("SELECT FROM orders FOR UPDATE")
        await clean(committing_client)
        assert await admin.fetchval("SELECT count(*) FROM order_items") == 1
    await clean(committing_client)
    assert await admin.fetchval("SELECT count(*) FROM order_items") == 0


async def test_many_old_orders_are_emptied_batch_by_batch_by_several_workers(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    async with admin.transaction():  # because the api cleans by itself, too
        await admin.execute(
            "INSERT INTO orders (id, deleted_at) SELECT gen_random_uuid(), now() - interval '31 days'"
            " FROM generate_series(1, 3 * $1::int)",
            cleaning.ORDERS_AT_ONCE,
        )
        await admin.execute(
            "INSERT INTO order_items SELECT id, n, 'Tea', 'small', 1 FROM orders, generate_series(0, 9) n"
        )
    await asyncio.gather(*(clean(committing_client) for _ in range(3)))
    # At this moment, the api itself may have locked what is left.
    async with asyncio.timeout(20):
        while await admin.fetchval("SELECT count(*) FROM orders WHERE NOT is_emptied"):
            await clean(committing_client)
    assert await admin.fetchval("SELECT count(*) FROM order_items") == 0


async def test_the_api_does_so_by_itself(server: Server, database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("INSERT INTO throttles SELECT n, 1, now() - interval '1 day' FROM generate_series(1, 1200) n")
    async with started(create_app(Settings(database_url=server.url("zoo_api", database)))):
        async with asyncio.timeout(20):
            while await admin.fetchval("SELECT count(*) FROM throttles"):
                await asyncio.sleep(0.05)


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
    async with started(create_app(Settings(database_url=server.url("zoo_api", database)))), asyncio.timeout(20):
        while not (said := [line for line in log() if line["event"] == "old rows left for now"]):
            await asyncio.sleep(0.01)
        assert "exception" not in said[0]
        await admin.execute("ALTER TABLE moved RENAME TO throttles")
        while await admin.fetchval("SELECT count(*) FROM throttles"):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("statement", ["_TOKENS", "_KEYS", "_COUNTS", "_ADDRESSES", "_ITEMS"])
async def test_a_batch_reads_only_old_rows_by_an_index(
    server: Server, database: str, admin: asyncpg.Connection, statement: str
) -> None:
    for table, (_, rows) in TABLES.items():
        await admin.execute(f"INSERT INTO {table} {rows.replace('250', '3000')}", timedelta(0))
    await admin.execute(
        "INSERT INTO orders (id, deleted_at) SELECT gen_random_uuid(), now() FROM generate_series(1, 3000)"
    )
    await admin.execute("ANALYZE")
    api = await asyncpg.connect(server.url("zoo_api", database))
    sql = getattr(cleaning, statement)._sql  # noqa: SLF001 - what is sent
    plan = "\n".join(row[0] for row in await api.fetch(f"EXPLAIN {sql}", timedelta(days=90)))
    await api.close()
    assert "Index Scan using ix_" in plan, plan
    assert "Seq Scan" not in plan.partition("CTE gone")[0].partition("CTE emptied")[0], plan
