"""The api removes the items of orders that were deleted long ago."""

import asyncio
from datetime import timedelta

import asyncpg
import httpx

from api.crud.orders.old_rows import OLD_ROWS, ORDERS_AT_ONCE
from local.postgres import Server
from tests.api.orders.ordering import TEA, order
from tests.api.test_cleaning import DAY, clean, reads_only_old_rows, small_batches
from tests.python import HANGS
from tests.users import KEEPER, VISITOR

__all__ = ["small_batches"]  # a fixture


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
    async with admin.transaction(), asyncio.timeout(HANGS):
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
            ORDERS_AT_ONCE,
        )
        await admin.execute(
            "INSERT INTO order_items SELECT id, n, 'Tea', 'small', 1 FROM orders, generate_series(0, 9) n"
        )
    await asyncio.gather(*(clean(committing_client) for _ in range(3)))
    # At this moment, the api itself may have locked what is left.
    async with asyncio.timeout(HANGS):
        while await admin.fetchval("SELECT count(*) FROM orders WHERE NOT is_emptied"):
            await clean(committing_client)
    assert await admin.fetchval("SELECT count(*) FROM order_items") == 0


async def test_a_batch_reads_only_old_rows_by_an_index(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "INSERT INTO orders (id, deleted_at) SELECT gen_random_uuid(), now() FROM generate_series(1, 3000)"
    )
    (items,) = OLD_ROWS
    await reads_only_old_rows(server, database, admin, items)
