"""Orders for tests."""

from typing import Any

import asyncpg
import httpx

from tests.users import ADMIN, KEEPER, VISITOR, email_of

TEA = {"product": "Tea", "size": "small", "quantity": 1}
CAKE = {"product": "Cake", "size": "big", "quantity": 3}
STEPS = ("created", "paid", "progress", "dispatched", "delivered")


async def order(client: httpx.AsyncClient, *items: dict[str, Any], who: dict[str, str] | None = None) -> str:
    """The path of a new order."""
    answer = await client.post("/orders", json={"order": list(items) or [TEA]}, headers=who or VISITOR)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


async def bring(client: httpx.AsyncClient, status: str) -> str:
    """The path of a new order with this status."""
    path = await order(client)
    if status == "cancelled":
        assert (await client.post(f"{path}/cancel", headers=VISITOR)).status_code == 200
        return path
    for step in STEPS[1 : STEPS.index(status) + 1]:
        answer = await client.post(f"{path}/{'pay' if step == 'paid' else 'advance'}", headers=KEEPER)
        assert answer.json()["status"] == step, answer.text
    return path


async def left_open(  # noqa: PLR0913 - the columns that matter
    admin: asyncpg.Connection,
    number: int = 1,
    *,
    payment: str | None = "made",
    till: bool = False,
    failures: int = 1,
    attention: str | None = None,
) -> list[str]:
    """The paths of this number of orders of the visitor, whose payment was begun, and has failed this often since.

    By default they are paid, and the kitchen does not have them yet. Postgres has their rows in another order.
    """
    made = await admin.fetch(
        "WITH ids AS MATERIALIZED (SELECT uuidv7() AS id FROM generate_series(1, $2)), "
        "made AS (INSERT INTO orders"
        " (id, user_id, is_being_paid, payment_id, is_paid_at_till, settle_failures, attention)"
        " SELECT ids.id, users.id, true, $3::text, $4::boolean, $5::int, $6::text"
        " FROM ids, users WHERE email = $1 ORDER BY ids.id DESC RETURNING id, user_id), "
        "items AS (INSERT INTO order_items SELECT id, 0, 'Tea', 'small', 1 FROM made), "
        "events AS (INSERT INTO order_events (order_id, to_status, user_id) SELECT id, 'created', user_id FROM made) "
        "SELECT id FROM made ORDER BY id",
        email_of("visitor"),
        number,
        payment,
        till,
        failures,
        attention,
    )
    return [f"/orders/{row['id']}" for row in made]


async def status_of(client: httpx.AsyncClient, path: str) -> str:
    return str((await client.get(path, headers=ADMIN)).json()["status"])


async def events_of(client: httpx.AsyncClient, path: str) -> list[tuple[str | None, str]]:
    """The changes of its status, from and to."""
    events = (await client.get(f"{path}/events", headers=ADMIN)).json()["events"]
    return [(event["from"], event["to"]) for event in events]
