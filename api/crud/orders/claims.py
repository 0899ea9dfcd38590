"""Claims: of all requests that need an outside service for an order, one calls it; the others wait for its result.

A claim is a lease in the order's row, so that it holds across workers, needs no connection, and ends by itself if the
worker that has it dies.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import InProgress
from api.external_services.http import MAX_SECONDS
from api.models import Order

# Longer than any call takes, so that it lasts until the worker has stored the result.
LEASE = timedelta(seconds=MAX_SECONDS + 7)
PATIENCE_SECONDS = 20
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5

T = TypeVar("T")


async def claim(session: AsyncSession, order: Order) -> datetime:
    """Claim a locked order, or extend the claim; the moment at which the claim ends."""
    until: datetime = (await session.execute(select(func.statement_timestamp() + LEASE))).scalar_one()
    order.claimed_until = until
    return until


async def patiently(order_id: UUID, attempt: Callable[[], Awaitable[T | None]]) -> T:
    """The result of `attempt` once the order is no longer claimed; InProgress if that takes too long."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    pause = FIRST_PAUSE_SECONDS
    while (result := await attempt()) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise InProgress(f"Order {order_id} is being paid or cancelled already: ask again in a moment")
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that those that wait do not all try at once
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
    return result
