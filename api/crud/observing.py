"""What is measured regularly, rather than at each request: the process, its connections, and what the database says."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from api.crud import health
from api.database.engine import SCHEMA_REVISION
from api.database.errors import DATABASE_ERRORS
from api.database.pool import FairQueuePool
from api.database.probes import Probes
from api.errors import Unavailable
from api.metrics import READY, RELEASE, observe_now

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


async def keep_asking(probes: Probes, release: str) -> None:
    """Write whether the database and this release fit, regularly, until cancelled."""
    RELEASE.labels(release, SCHEMA_REVISION).set(1)
    while True:
        try:
            await probes.ask(health.fits_schema, release)
            READY.set(1)
        except (Unavailable, *DATABASE_ERRORS):
            READY.set(0)
        await asyncio.sleep(ASK_EVERY_SECONDS)
