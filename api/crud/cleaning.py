"""Removes what is old, a few rows at a time: the api does it itself, so that no job has to.

Each batch is a transaction of its own, and takes only rows that nobody has locked: several workers may do so at once,
and no request waits for them. Indexes lead to the rows.
"""

import asyncio
from datetime import timedelta

from api.crud import idempotency, throttles
from api.crud.accounts import old_rows as accounts
from api.crud.old_rows import OldRows, remove
from api.crud.orders import old_rows as orders
from api.crud.photos import old_rows as photos
from api.crud.rounds import one_round
from api.database.driver import Database
from api.models.idempotency import IdempotencyKey
from api.models.throttles import Throttle

FIRST_AFTER_SECONDS, EVERY_SECONDS = 5, 60
PAUSE_SECONDS = 0.1  # between two batches
OLD_ROWS = [
    OldRows(remove(IdempotencyKey, IdempotencyKey.created_at), idempotency.KEPT_FOR),
    OldRows(remove(Throttle, Throttle.since), throttles.WINDOW),
]


async def keep_clean(db: Database, token_lifetime: timedelta) -> None:
    """Remove what is old, soon and regularly, until cancelled."""
    await asyncio.sleep(FIRST_AFTER_SECONDS)
    while True:
        with one_round("cleaning", "old rows left"):
            await clean(db, token_lifetime)
        await asyncio.sleep(EVERY_SECONDS)


def everything(token_lifetime: timedelta) -> list[OldRows]:
    """All that gets old; tokens do so in `token_lifetime`."""
    return [
        *OLD_ROWS,
        *accounts.old_rows(token_lifetime),
        *orders.OLD_ROWS,
        *photos.OLD_ROWS,
    ]


async def clean(db: Database, token_lifetime: timedelta) -> None:
    """Remove all that is old now, batch by batch."""
    for old in everything(token_lifetime):
        while await old.remove.first(db, kept_for=old.kept_for) == old.at_once:
            await asyncio.sleep(PAUSE_SECONDS)
