"""Limits on trying, counted in Postgres: they hold across workers and replicas.

A try is counted and committed before it is made. Of a thousand made at once, no more get through than the limit says.
"""

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import TooManyRequests
from api.models import Throttle

WINDOW = timedelta(minutes=15)
FORGOTTEN_AT_ONCE = 100


def key(kind: str, *subjects: str) -> str:
    """What is counted, as the database knows it."""
    return hashlib.sha256("\0".join([kind, *subjects]).encode(errors="surrogatepass")).hexdigest()


async def count(session: AsyncSession, limits: Mapping[str, int]) -> None:
    """Count one more try under each key; TooManyRequests where that is over its limit.

    Refused tries do not count: whoever goes on trying is let in again when WINDOW is over since the first.
    """
    await _forget_old(session)
    now = func.statement_timestamp()
    is_over = Throttle.since <= now - WINDOW
    # In one order, so that two requests never wait for each other.
    first = [{"key": name, "count": 1, "since": now} for name in sorted(limits)]
    counted = await session.execute(
        insert(Throttle)
        .values(first)
        .on_conflict_do_update(
            index_elements=[Throttle.key],
            set_={
                "count": case((is_over, 1), else_=Throttle.count + 1),
                "since": case((is_over, now), else_=Throttle.since),
            },
        )
        .returning(Throttle.key, Throttle.count, func.ceil(func.extract("epoch", Throttle.since + WINDOW - now)))
    )
    seconds_left = [int(seconds) for name, number, seconds in counted if number > limits[name]]
    if seconds_left:
        raise TooManyRequests(f"Too many tries: come again in {max(seconds_left)} s", max(seconds_left))


async def take_back(session: AsyncSession, keys: Collection[str]) -> None:
    """Do not count the last try under these keys: it was none of those that they limit."""
    locked = select(Throttle.key).where(Throttle.key.in_(keys)).order_by(Throttle.key).with_for_update()
    await session.execute(
        update(Throttle)
        .where(Throttle.key.in_(locked.scalar_subquery()), Throttle.count > 0)
        .values(count=Throttle.count - 1)
    )


async def clear(session: AsyncSession, *keys: str) -> None:
    """Begin to count anew under these keys."""
    await session.execute(delete(Throttle).where(Throttle.key.in_(keys)))


async def _forget_old(session: AsyncSession) -> None:
    over = select(Throttle.key).where(Throttle.since <= func.statement_timestamp() - WINDOW)
    some = over.limit(FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
    await session.execute(delete(Throttle).where(Throttle.key.in_(some.scalar_subquery())))
