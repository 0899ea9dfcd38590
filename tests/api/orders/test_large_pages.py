"""Pages of orders: a megabyte at most, whatever they have in them."""

import json
import re

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.accounts.access_tokens import Caller
from api.crud.orders import reads
from api.database.json_rows import JsonPage
from api.enums.users import UserType
from api.schemas.orders import OrderQuery
from tests.api.recorder import Recorder
from tests.api.test_large_pages import GIRAFFE, pages
from tests.users import VISITOR

CONTROL = "\x01"  # six bytes in JSON


async def add_orders(session: AsyncSession, *items: int, product: str) -> None:
    """The visitor's orders, from before the limit on items, with this number of items each."""
    for number in items:
        made = await session.execute(
            text(
                "WITH made AS (INSERT INTO orders (id, user_id) SELECT uuidv7(), id FROM users WHERE type = 'visitor'"
                " LIMIT 1 RETURNING id) INSERT INTO order_items (order_id, position, product, size, quantity)"
                " SELECT id, n, :product, 'big', 1 FROM made, generate_series(0, :number - 1) AS n"
            ),
            {"number": number, "product": product},
        )
        assert made
    await session.commit()


@pytest.mark.parametrize(
    ("items", "product", "expected"),
    [
        ((1, 1000, 1, 1000, 1), GIRAFFE * 200, [3, 2]),
        ((1000,), CONTROL * 200, [1]),  # 1.2 MB by itself
        ((1, 1000, 1000, 1), CONTROL * 200, [1, 1, 1, 1]),
        ((100,) * 15, GIRAFFE * 200, [11, 4]),
    ],
    ids=["large and small", "too large", "too large and small", "the largest that are taken"],
)
async def test_orders_of_any_size_are_all_there(
    client: httpx.AsyncClient, session: AsyncSession, items: tuple[int, ...], product: str, expected: list[int]
) -> None:
    await add_orders(session, *items, product=product)
    found = await pages(client, "/orders")
    assert [len(page) for page in found] == expected
    assert [len(order["order"]) for page in found for order in page] == list(reversed(items))
    largest = found[0][0]
    assert (await client.get(f"/orders/{largest['id']}")).json() == largest


async def test_orders_of_any_list_are_all_there(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await add_orders(session, 101, 1, 101, product="Tea")
    admin, visitor = client.headers["Authorization"], VISITOR["Authorization"]
    for query, who in (("", admin), ("&cancelled=false", admin), ("", visitor), ("&cancelled=false", visitor)):
        client.headers["Authorization"] = who
        found = await pages(client, f"/orders?limit=2{query}")
        assert [[len(order["order"]) for order in page] for page in found] == [[101, 1], [101]], (query, who)


async def keepers_page(connection: asyncpg.Connection) -> tuple[JsonPage, Recorder]:
    """The first page of everybody's orders, and the statements that it took."""
    recorder = Recorder(connection)
    keeper = Caller(await connection.fetchval("SELECT id FROM users WHERE type = 'keeper'"), UserType.KEEPER)
    return await reads.list_page(recorder, keeper, OrderQuery()), recorder


async def test_postgres_writes_no_more_than_it_returns(admin: asyncpg.Connection) -> None:
    await admin.execute(
        "INSERT INTO orders (id) SELECT uuidv7() FROM generate_series(1, 20);"
        "INSERT INTO order_items (order_id, position, product, size, quantity)"
        " SELECT id, n, repeat('x', 200), 'big', 1 FROM orders, generate_series(0, 999) AS n;"
        "ANALYZE"
    )
    page, recorder = await keepers_page(admin)
    assert page.next_after is not None
    rows = []
    for sql, values in recorder.sent:
        explained = await admin.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {sql}", *values)
        items = r"Scan.* on order_items \(actual rows=([\d.]+) loops=(\d+)\)"
        found = re.search(items, "\n".join(row[0] for row in explained))
        assert found, explained
        rows.append(float(found[1]) * int(found[2]))
    # First, of each order as many items as are allowed today; then, in full, the orders of the page and two more.
    assert rows == [20 * 101, (len(json.loads(page.records)) + 2) * 1000]
    assert rows[1] == 6 * 1000


async def test_a_page_of_usual_size_is_one_statement(admin: asyncpg.Connection) -> None:
    for number in (0, 200):
        await admin.execute("INSERT INTO orders (id) SELECT uuidv7() FROM generate_series(1, $1::int)", number)
        assert len((await keepers_page(admin))[1].sent) == 1
