"""Removes what is old, a few rows at a time: the api does it itself, so that no job has to.

Each batch is a transaction of its own, and takes only rows that nobody has locked: several workers may do so at once,
and no request waits for them. Indexes lead to the rows.
"""

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Interval,
    TextClause,
    bindparam,
    delete,
    func,
    inspect,
    literal_column,
    select,
    true,
    tuple_,
    update,
)

from api.crud import idempotency, throttles
from api.crud.accounts import sign_ins
from api.crud.rounds import one_round
from api.database.driver import Database
from api.database.statements import Statement
from api.models import Base
from api.models.idempotency import IdempotencyKey
from api.models.orders import TO_BE_EMPTIED, Order, OrderItem
from api.models.photos import FAILED, PENDING, Photo
from api.models.throttles import Throttle
from api.models.users import AccessToken, KnownAddress

FIRST_AFTER_SECONDS, EVERY_SECONDS = 5, 60
PAUSE_SECONDS = 0.1  # between two batches
ROWS_AT_ONCE, ORDERS_AT_ONCE = 500, 50
# How long the items of a deleted order are kept.
ITEMS_KEPT_FOR = timedelta(days=30)
# Uploads of photos that nobody completed, and photos that failed: keepers have had time to see why.
UPLOADS_KEPT_FOR, FAILED_KEPT_FOR = timedelta(days=1), timedelta(days=30)


def _is_old(since: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = since <= func.statement_timestamp() - bindparam("kept_for", type_=Interval)
    return found


def _remove(model: type[Base], since: Any, *which: ColumnElement[bool] | TextClause) -> Statement[int]:
    """Deletes some rows that are old, of those `which`, and returns how many."""
    key = inspect(model).primary_key
    some = select(*key).where(_is_old(since), *which).order_by(since).limit(literal_column(str(ROWS_AT_ONCE)))
    old = some.with_for_update(skip_locked=True).cte("old")
    gone = delete(model).where(tuple_(*key).in_(select(*old.c))).returning(true()).cte("gone")
    return Statement(select(func.count()).select_from(gone), int)


def _empty() -> Statement[int]:
    """Removes the items of some orders that were deleted long ago, and returns of how many."""
    some = select(Order.id).where(TO_BE_EMPTIED, _is_old(Order.deleted_at)).order_by(Order.deleted_at)
    some = some.limit(literal_column(str(ORDERS_AT_ONCE))).with_for_update(key_share=True, skip_locked=True)
    old = some.cte("old")
    emptied = (
        update(Order).where(Order.id.in_(select(old.c.id))).values(is_emptied=true()).returning(Order.id).cte("emptied")
    )
    gone = delete(OrderItem).where(OrderItem.order_id.in_(select(emptied.c.id))).returning(true()).cte("gone")
    return Statement(select(func.count()).select_from(emptied).add_cte(gone), int)


_TOKENS = _remove(AccessToken, AccessToken.created_at)
_KEYS = _remove(IdempotencyKey, IdempotencyKey.created_at)
_COUNTS = _remove(Throttle, Throttle.since)
_ADDRESSES = _remove(KnownAddress, KnownAddress.last_used_at)  # personal data of users who do not return
_ITEMS = _empty()
# Their objects are gone, or end by the bucket's own rule.
_UPLOADS = _remove(Photo, Photo.created_at, PENDING)
_FAILED = _remove(Photo, Photo.created_at, FAILED)


async def keep_clean(db: Database, token_lifetime: timedelta) -> None:
    """Remove what is old, soon and regularly, until cancelled."""
    await asyncio.sleep(FIRST_AFTER_SECONDS)
    while True:
        with one_round("cleaning", "old rows left"):
            await clean(db, token_lifetime)
        await asyncio.sleep(EVERY_SECONDS)


async def clean(db: Database, token_lifetime: timedelta) -> None:
    """Remove all that is old now, batch by batch."""
    kept = {
        _TOKENS: (token_lifetime, ROWS_AT_ONCE),
        _KEYS: (idempotency.KEPT_FOR, ROWS_AT_ONCE),
        _COUNTS: (throttles.WINDOW, ROWS_AT_ONCE),
        _ADDRESSES: (sign_ins.KNOWN_FOR, ROWS_AT_ONCE),
        _ITEMS: (ITEMS_KEPT_FOR, ORDERS_AT_ONCE),
        _UPLOADS: (UPLOADS_KEPT_FOR, ROWS_AT_ONCE),
        _FAILED: (FAILED_KEPT_FOR, ROWS_AT_ONCE),
    }
    for statement, (kept_for, at_once) in kept.items():
        while await statement.first(db, kept_for=kept_for) == at_once:
            await asyncio.sleep(PAUSE_SECONDS)
