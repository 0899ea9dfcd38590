"""Removes what is old, a few rows at a time: the api does it itself, so that no job has to.

Each batch is a transaction of its own, and takes only rows that nobody has locked: several workers may do so at once,
and no request waits for them. Indexes lead to the rows.
"""

import asyncio

from api.crud import idempotency, throttles
from api.crud.accounts import old_rows as accounts
from api.crud.old_rows import OldRows, remove
from api.crud.orders import old_rows as orders
from api.crud.photos import old_rows as photos
from api.crud.rounds import one_round
from api.database.driver import Database
from api.models.idempotency import IdempotencyKey
from api.models.throttles import Throttle
from api.settings import Settings

FIRST_AFTER_SECONDS, EVERY_SECONDS = 5, 60
PAUSE_SECONDS = 0.1  # between two batches
OLD_ROWS = [
    OldRows(remove(IdempotencyKey, IdempotencyKey.created_at), idempotency.KEPT_FOR),
    OldRows(remove(Throttle, Throttle.since), throttles.WINDOW),
]


async def keep_clean(db: Database, settings: Settings) -> None:
    """Remove what is old, soon and regularly, until cancelled."""
    await asyncio.sleep(FIRST_AFTER_SECONDS)
    while True:
        with one_round("cleaning", "old rows left"):
            await clean(db, settings)
        await asyncio.sleep(EVERY_SECONDS)


def everything(settings: Settings) -> list[OldRows]:
    """All that gets old."""
    return [
        *OLD_ROWS,
        *accounts.old_rows(settings),
        *orders.OLD_ROWS,
        *photos.OLD_ROWS,
    ]


async def clean(db: Database, settings: Settings) -> None:
    """Remove all that is old now, batch by batch."""
    for old in everything(settings):
        while await old.remove.first(db, kept_for=old.kept_for) == old.at_once:
            await asyncio.sleep(PAUSE_SECONDS)
