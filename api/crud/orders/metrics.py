"""What is measured of orders (docs/observability.md)."""

import asyncio

from prometheus_client import Counter, Gauge
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.database.engine import Transactions
from api.database.errors import DATABASE_ERRORS
from api.enums.orders import OrderStatus
from api.errors import Unavailable
from api.models.orders import NEEDS_ATTENTION, Order, OrderEvent

EVERY_SECONDS = 15.0

ORDERS = Counter("orders", "Orders that came to a state", ["state"])
ATTENTION = Gauge("orders_needing_attention", "Orders that keepers have to look at", multiprocess_mode="livemostrecent")

for _status in OrderStatus:
    ORDERS.labels(_status.value)  # from 0 on, as in api/metrics.py


def count_once_committed(session: AsyncSession, change: OrderEvent) -> None:
    """Count a change of an order's state, unless it is rolled back."""
    count = ORDERS.labels(change.to_status.value).inc
    event.listen(session.sync_session, "after_commit", lambda _: count(), once=True)


async def keep_counting_orders(transactions: Transactions) -> None:
    """Count those that need attention, regularly, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            async with transactions() as session:
                counted = await session.execute(select(func.count()).where(NEEDS_ATTENTION).select_from(Order))
                ATTENTION.set(counted.scalar_one())
        except (Unavailable, *DATABASE_ERRORS):
            pass  # it is said at each request
