"""Clients that ask for more than their share, by changing one order again and again."""

import asyncio
import time
from collections.abc import Callable

import asyncpg
import httpx

from tests.api.orders.ordering import CAKE, TEA
from tests.api.orders.test_concurrency import make
from tests.bearer import bearer
from tests.faults.test_fairness import CLIENTS, LONGEST, SECONDS, USUAL, WHERE, are_served, crowd, port, report
from tests.faults.test_overload import ANIMALS
from tests.live.clients import load_on, percentile
from tests.rounds import STALL, rounds

__all__ = ["port"]  # a fixture

PUTS = 24
UNLOCKED_SECONDS = rounds(quick=1, full=SECONDS)


async def test_puts_on_one_order_leave_the_database_to_others(
    port: int, admin: asyncpg.Connection, record_property: Callable[[str, object], None]
) -> None:
    """Even while the order is locked, so that all of them only wait."""
    (order_id,) = await make(admin, "created", 1)

    async def put(client: httpx.AsyncClient) -> httpx.Response:
        return await client.put(f"/orders/{order_id}", json={"order": [TEA, CAKE]})

    for where, headers in WHERE.items():
        async with (
            crowd(port, PUTS, put, headers=bearer("visitor") | headers) as answers,
            load_on(port, CLIENTS, ANIMALS) as others,
        ):
            await asyncio.sleep(UNLOCKED_SECONDS)
            async with admin.transaction():
                await admin.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", order_id)
                locked = time.monotonic()
                await asyncio.sleep(SECONDS)
        measured = f"{where}: {report(others.samples, answers)}"
        record_property("measured", measured)
        assert are_served(others.samples), measured
        late = [sample for sample in others.samples if sample.began > locked]
        assert are_served(late), measured
        assert percentile(late, 50) < USUAL, measured
        assert max(sample.took for sample in others.samples) < LONGEST + STALL, measured
        assert {answer.status_code for answer in answers} == {200, 503}, measured
        assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 503)
