"""What a user orders is counted: such requests take turns, by the lock on their user."""

import asyncio

import asyncpg
import httpx

from tests.api.holding import committing_client, database, until_it_waits
from tests.api.orders.ordering import TEA
from tests.api.users.test_locks_of_users import held
from tests.users import VISITOR

__all__ = ["committing_client", "database"]  # fixtures


async def test_open_orders_are_counted_one_after_the_other(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    async with held(admin, "visitor"):
        asked = asyncio.create_task(committing_client.post("/orders", json={"order": [TEA]}, headers=VISITOR))
        await until_it_waits(admin, asked)
    assert (await asked).status_code == 201


async def test_replaced_items_are_counted_so_too(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    made = await committing_client.post("/orders", json={"order": [TEA]}, headers=VISITOR)
    async with held(admin, "visitor"):
        again = committing_client.put(made.headers["Location"], json={"order": [TEA]}, headers=VISITOR)
        asked = asyncio.create_task(again)
        await until_it_waits(admin, asked)
    assert (await asked).status_code == 200
