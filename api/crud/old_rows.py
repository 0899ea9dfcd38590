"""Deletes rows that are too old to be of use: a few with each request that adds one, so that no job has to do it."""

from sqlalchemy import ColumnElement, delete, inspect, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from api.models import Base

FORGOTTEN_AT_ONCE = 100


async def forget(session: AsyncSession, model: type[Base], is_old: ColumnElement[bool]) -> None:
    """Delete some old rows of `model`, without waiting for rows that another transaction has locked."""
    key = inspect(model).primary_key
    some = select(*key).where(is_old).limit(FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
    await session.execute(delete(model).where(tuple_(*key).in_(some)))
