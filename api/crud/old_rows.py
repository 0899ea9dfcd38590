"""Rows that are too old to be of use: a few of them go with each request that adds one, so that no job has to do it."""

from sqlalchemy import ColumnElement, delete, inspect, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from api.models import Base

FORGOTTEN_AT_ONCE = 100


async def forget(session: AsyncSession, model: type[Base], is_old: ColumnElement[bool]) -> None:
    """Delete some of the rows of `model` that are old; does not wait for those that another transaction has locked."""
    key = inspect(model).primary_key
    some = select(*key).where(is_old).limit(FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
    await session.execute(delete(model).where(tuple_(*key).in_(some)))
