"""Claims: of all requests that need an outside service for an order, one calls it; the others wait for its result.

A claim is a lease in the order's row, so that it holds across workers, needs no connection, and ends by itself if the
worker that has it dies.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from tenacity import AsyncRetrying, RetryError, retry_if_result, stop_after_delay, wait_exponential_jitter

from api.errors import InProgress
from api.external_services.http import MAX_SECONDS
from api.models.orders import Order

# Longer than any call takes, so that it lasts until the worker has stored the result.
LEASE = timedelta(seconds=MAX_SECONDS + 7)
PATIENCE_SECONDS = 20
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
JITTER_SECONDS = 0.05  # at most, so that those that wait do not all try at once

T = TypeVar("T")


async def claim(session: AsyncSession, order: Order) -> datetime:
    """Claim a locked order, or extend the claim; the moment at which the claim ends."""
    until: datetime = (await session.execute(select(func.statement_timestamp() + LEASE))).scalar_one()
    order.claimed_until = until
    return until


async def patiently(order_id: UUID, attempt: Callable[[], Awaitable[T | None]]) -> T:
    """The result of `attempt` once the order is no longer claimed; InProgress if that takes too long."""
    attempts = AsyncRetrying(
        retry=retry_if_result(lambda result: result is None),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_exponential_jitter(
            multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS, exp_base=1.5, jitter=JITTER_SECONDS
        ),
    )
    try:
        result: T | None = await attempts(attempt)
    except RetryError:
        raise InProgress(f"Order {order_id} is being paid or cancelled already: ask again in a moment") from None
    assert result is not None  # or it was tried again
    return result
