"""Requests about one order at the same moment, on real connections of their own; tests/faults has hundreds of pairs.

A lock on the order holds up each pair until both have read its status and wait, so that neither comes too late.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import asyncpg
import httpx
import pytest

from local.postgres import Server
from tests.api.holding import free, holding, until_it_waits
from tests.api.orders.ordering import CAKE, TEA
from tests.conftest import clone, committing, drop
from tests.users import KEEPER, VISITOR, email_of

FEW = 1, 4  # rounds, and pairs at once in each

# How many sessions wait for another one's transaction: pg_locks does not say in which database.
HELD_UP = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

Ask = Callable[[httpx.AsyncClient, str], Awaitable[httpx.Response]]
Outcome = tuple[int, int, str]  # of the first, of the second, and the order's status then
Race = tuple[str, Ask, Ask, set[Outcome]]  # the status before, both requests, and the possible outcomes


@pytest.fixture(scope="module")
async def database(maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """A database for all of them: each has orders of its own."""
    name = await clone(maintenance)
    await maintenance.execute(
        f"ALTER ROLE zoo_api IN DATABASE {name} SET lock_timeout = '1min'"
    )  # held up until all wait
    yield name
    await drop(maintenance, name)


@pytest.fixture(scope="module")
async def committing_client(server: Server, database: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client for all of them."""
    async with committing(server, database) as client:
        yield client


async def pay(client: httpx.AsyncClient, path: str) -> httpx.Response:
    return await client.post(f"{path}/pay", headers=VISITOR)


async def cancel(client: httpx.AsyncClient, path: str) -> httpx.Response:
    return await client.post(f"{path}/cancel", headers=VISITOR)


async def advance(client: httpx.AsyncClient, path: str) -> httpx.Response:
    return await client.post(f"{path}/advance", headers=KEEPER)


async def replace(client: httpx.AsyncClient, path: str) -> httpx.Response:
    return await client.put(path, json={"order": [CAKE]}, headers=VISITOR)


async def delete(client: httpx.AsyncClient, path: str) -> httpx.Response:
    return await client.delete(path, headers=VISITOR)


async def make(admin: asyncpg.Connection, status: str, number: int) -> list[UUID]:
    """This number of orders of the visitor, with this status."""
    rows = await admin.fetch(
        "WITH made AS (INSERT INTO orders (id, user_id, status, is_paid_at_till)"
        " SELECT uuidv7(), users.id, $1::order_status, $1 <> 'created' FROM users, generate_series(1, $2)"
        " WHERE email = $3 RETURNING id), "
        "items AS (INSERT INTO order_items SELECT id, 0, 'Tea', 'small', 1 FROM made) SELECT id FROM made",
        status,
        number,
        email_of("visitor"),
    )
    return [row["id"] for row in rows]


async def race(
    client: httpx.AsyncClient, admin: asyncpg.Connection, case: Race, size: tuple[int, int] = FEW
) -> list[tuple[UUID, httpx.Response, httpx.Response]]:
    status, first, second, _ = case
    rounds, pairs = size
    raced = []
    for _ in range(rounds):
        ids = await make(admin, status, pairs)
        async with admin.transaction():
            await admin.execute("SELECT FROM orders WHERE id = ANY($1) FOR UPDATE", ids)
            asked = [
                asyncio.gather(first(client, f"/orders/{order_id}"), second(client, f"/orders/{order_id}"))
                for order_id in ids
            ]
            while await admin.fetchval(HELD_UP) < 2 * pairs:
                await admin.execute("SELECT pg_stat_clear_snapshot()")  # otherwise a transaction always sees the same
                await asyncio.sleep(0.005)
        raced += [(order_id, *answers) for order_id, answers in zip(ids, await asyncio.gather(*asked), strict=True)]
    return raced


RACES: list[Race] = [
    ("created", pay, pay, {(200, 200, "paid")}),
    ("created", pay, cancel, {(200, 409, "paid"), (409, 200, "cancelled")}),
    ("created", pay, replace, {(200, 200, "paid"), (200, 409, "paid")}),
    ("created", pay, delete, {(200, 409, "paid"), (404, 204, "created")}),
    ("created", cancel, cancel, {(200, 200, "cancelled")}),
    ("created", delete, delete, {(204, 404, "created"), (404, 204, "created")}),
    ("paid", advance, advance, {(200, 200, "progress")}),
    ("paid", advance, cancel, {(200, 409, "progress"), (409, 200, "cancelled")}),
    ("dispatched", advance, advance, {(200, 200, "delivered")}),
]


@pytest.mark.parametrize("case", RACES, ids=lambda case: f"{case[0]}-{case[1].__name__}-{case[2].__name__}")
async def test_of_two_at_once_one_wins_and_the_other_gets_the_result(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, case: Race
) -> None:
    await run(committing_client, admin, case)


async def run(client: httpx.AsyncClient, admin: asyncpg.Connection, case: Race, size: tuple[int, int] = FEW) -> None:
    status, _, second, possible = case
    raced = await race(client, admin, case, size)
    outcomes: Counter[Outcome] = Counter()
    for order_id, *answers in raced:
        row = await admin.fetchrow("SELECT status, deleted_at FROM orders WHERE id = $1", order_id)
        outcomes[answers[0].status_code, answers[1].status_code, row["status"]] += 1
        for answer in answers:
            if answer.status_code == 200 and answer.request.method == "POST":
                assert answer.json()["status"] == row["status"]
            if answer.status_code == 409:
                assert row["status"] in answer.json()["detail"]
        # Everything was written once.
        events = await admin.fetch("SELECT from_status, to_status FROM order_events WHERE order_id = $1", order_id)
        changed = [] if row["status"] == status else [(status, row["status"])]
        assert [tuple(event) for event in events] == changed
        items = await admin.fetch("SELECT product, size, quantity FROM order_items WHERE order_id = $1", order_id)
        is_replaced = second is replace and answers[1].status_code == 200
        assert [dict(item) for item in items] == [CAKE if is_replaced else TEA]
    assert sum(outcomes.values()) == size[0] * size[1]
    assert outcomes.keys() <= possible


async def test_an_order_that_is_paid_and_begun_meanwhile_needs_no_other_payment(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    (order_id,) = await make(admin, "created", 1)
    begun = "UPDATE orders SET status = 'progress', is_paid_at_till = true WHERE id = $1"
    async with holding(admin, begun, order_id):
        paying = asyncio.create_task(pay(committing_client, f"/orders/{order_id}"))
        await until_it_waits(admin, paying)
    answer = await paying
    assert (answer.status_code, answer.json()["status"]) == (200, "progress")


async def test_while_the_work_waits_its_key_is_not_locked(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    """First the work, then the key: all requests lock in one order."""
    (order_id,) = await make(admin, "created", 1)
    body, once = {"order": [TEA]}, VISITOR | {"Idempotency-Key": "locks"}
    async with holding(admin, "SELECT FROM order_items WHERE order_id = $1 FOR UPDATE", order_id):
        asked = asyncio.create_task(committing_client.put(f"/orders/{order_id}", json=body, headers=once))
        await until_it_waits(admin, asked)
        assert await free(admin, "idempotency_keys", "key") == {"locks"}
    assert (await asked).status_code == 200


async def test_two_puts_leave_the_items_of_one(committing_client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    async def other(client: httpx.AsyncClient, path: str) -> httpx.Response:
        return await client.put(path, json={"order": [TEA, TEA, TEA]}, headers=VISITOR)

    for order_id, *answers in await race(committing_client, admin, ("created", replace, other, set())):
        assert [answer.status_code for answer in answers] == [200, 200]
        found = await committing_client.get(f"/orders/{order_id}", headers=VISITOR)
        assert found.json()["order"] in ([CAKE], [TEA, TEA, TEA])
        assert found.json() in [answer.json() for answer in answers]


async def test_advances_one_after_the_other_each_make_a_step(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    (order_id,) = await make(admin, "paid", 1)
    found = [(await advance(committing_client, f"/orders/{order_id}")) for _ in range(4)]
    assert [answer.status_code for answer in found] == [200, 200, 200, 409]
    assert [answer.json()["status"] for answer in found[:3]] == ["progress", "dispatched", "delivered"]
