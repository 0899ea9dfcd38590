"""What is measured regularly, rather than at each request: the process, its connections, and what the database says."""

import asyncio

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from api.crud import health
from api.database.engine import SCHEMA_REVISION, Transactions
from api.database.errors import DATABASE_ERRORS
from api.database.pool import FairQueuePool
from api.database.probes import Probes
from api.errors import Unavailable
from api.metrics import ATTENTION, READY, RELEASE, observe_now
from api.models import Order
from api.models.orders import NEEDS_ATTENTION

EVERY_SECONDS = 1.0
ASK_EVERY_SECONDS = 15.0  # what the database has to be asked


async def keep_observing(engine: AsyncEngine) -> None:
    """Write what is so in this process, once a second, until cancelled. Nothing that it does can wait."""
    assert isinstance(engine.pool, FairQueuePool)
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_SECONDS
        await asyncio.sleep(EVERY_SECONDS)
        observe_now(engine.pool, max(0.0, loop.time() - due))


async def keep_asking(probes: Probes, transactions: Transactions, release: str) -> None:
    """Write what the database says, regularly, until cancelled: on connections that no request waits for."""
    RELEASE.labels(release, SCHEMA_REVISION).set(1)
    while True:
        is_ready = False
        try:
            await probes.ask(health.fits_schema, release)
            is_ready = True
            async with transactions() as session:
                ATTENTION.set(await session.scalar(select(func.count()).where(NEEDS_ATTENTION).select_from(Order)) or 0)
        except (Unavailable, *DATABASE_ERRORS):
            pass  # it is said at each request
        READY.set(is_ready)
        await asyncio.sleep(ASK_EVERY_SECONDS)
