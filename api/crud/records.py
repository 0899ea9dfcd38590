"""What exhibits, animals and staff share: reading live records, pages of them, changing and deleting one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import NotFound
from api.models import Animal, Exhibit, Order, Staff, User
from api.schemas.fields import Body, PageQuery

R = TypeVar("R", Exhibit, Animal, Staff)
P = TypeVar("P", Exhibit, Animal, Staff, User, Order)


@dataclass(frozen=True)
class Page(Generic[P]):
    """A part of a list in id order. `next_after` is the `after` of the next page; None where this is the last."""

    records: Sequence[P]
    next_after: int | UUID | None

    @classmethod
    def of(cls, found: Sequence[P], limit: int) -> "Page[P]":
        """The first `limit` of the records found; there is more where they are more."""
        return cls(found[:limit], found[limit - 1].id if len(found) > limit else None)


def live(model: type[R]) -> Select[R]:
    """The records that were not deleted."""
    return select(model).where(model.deleted_at.is_(None))


async def get(session: AsyncSession, model: type[R], record_id: int, *, lock: bool = False) -> R:
    """The live record `record_id`; NotFound without one.

    With `lock`, nobody else changes it until this transaction ends, and it is as the last one to do so left it.
    """
    statement = live(model).where(model.id == record_id)
    record = await session.scalar(statement.with_for_update(key_share=True) if lock else statement)
    if record is None:
        raise _not_found(model, record_id)
    return record


async def list_page(session: AsyncSession, model: type[R], query: PageQuery, **filters: str | int | None) -> Page[R]:
    """The page of the live records that `query` asks for; a filter that is None does not count."""
    statement = live(model).order_by(model.id).limit(query.limit + 1)  # the one beyond tells whether there is more
    statement = statement.filter_by(**{name: value for name, value in filters.items() if value is not None})
    if query.after is not None:
        statement = statement.where(model.id > query.after)
    if query.offset:
        statement = statement.offset(query.offset)
    return Page.of((await session.scalars(statement)).all(), query.limit)


async def any_in_exhibit(session: AsyncSession, model: type[Animal] | type[Staff], exhibit_id: int) -> bool:
    """Whether a live record of `model` belongs to the exhibit."""
    statement = select(model.id).where(model.exhibit_id == exhibit_id, model.deleted_at.is_(None)).limit(1)
    return await session.scalar(statement) is not None


async def create(session: AsyncSession, record: R) -> R:
    """Insert `record`; its id and timestamps come back with it."""
    session.add(record)
    await session.flush()
    return record


async def change(session: AsyncSession, record: R, changes: Body) -> R:
    """Change what `changes` sets. Where nothing differs, nothing is written and `updated_at` stays."""
    for field, value in changes.model_dump(exclude_unset=True).items():
        setattr(record, field, value)
    await session.flush()  # for `updated_at`
    return record


async def delete(session: AsyncSession, model: type[R], record_id: int) -> R:
    """Mark the live record `record_id` as deleted; NotFound without one. Nobody finds it any more; its row stays."""
    statement = (
        update(model)
        .where(model.id == record_id, model.deleted_at.is_(None))
        .values(deleted_at=func.statement_timestamp())
        .returning(model)
    )
    record = await session.scalar(statement, execution_options={"populate_existing": True})
    if record is None:
        raise _not_found(model, record_id)
    return record


def _not_found(model: type[R], record_id: int) -> NotFound:
    noun = {Exhibit: "exhibit", Animal: "animal", Staff: "member of staff"}[model]
    return NotFound(f"No {noun} {record_id}")
