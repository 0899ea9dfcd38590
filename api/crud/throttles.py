"""Limits on attempts, counted in Postgres, so that they hold across workers and replicas.

An attempt is counted and committed before it is made: of a thousand at once, no more get through than the limit allows.
"""

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta

from sqlalchemy import case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import TooManyRequests
from api.models.throttles import Throttle

WINDOW = timedelta(minutes=15)


def key(kind: str, *subjects: str) -> str:
    """A hash of what is counted, for the database."""
    return hashlib.sha256("\0".join([kind, *subjects]).encode(errors="surrogatepass")).hexdigest()


async def count(session: AsyncSession, limits: Mapping[str, int]) -> None:
    """Count one more attempt under each key; TooManyRequests if that is over its limit.

    Refused attempts do not count: a client that goes on trying is let in again, WINDOW after its first attempt.
    """
    now = func.statement_timestamp()
    is_over = Throttle.since <= now - WINDOW
    # Always in the same order, so that no two requests wait for each other.
    first = [{"key": name, "count": 1, "since": now} for name in sorted(limits)]
    statement = (
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
    counted = (await session.execute(statement)).all()
    seconds_left = [int(seconds) for name, number, seconds in counted if number > limits[name]]
    if seconds_left:
        raise TooManyRequests(f"Too many attempts: try again in {max(seconds_left)} s", max(seconds_left))


async def settle(session: AsyncSession, *, clear: Collection[str] = (), take_back: Collection[str] = ()) -> None:
    """Set the counts of the keys to clear to 0, and subtract the last attempt from those to take back."""
    # In the order of `count`. Nothing is deleted: a row that another request has just recreated would not be locked.
    every = select(Throttle.key).where(Throttle.key.in_([*clear, *take_back])).order_by(Throttle.key)
    await session.execute(every.with_for_update())
    is_counted = Throttle.key.in_([*clear, *take_back]), Throttle.count > 0
    left = case((Throttle.key.in_(clear), 0), else_=Throttle.count - 1)
    await session.execute(update(Throttle).where(*is_counted).values(count=left))
