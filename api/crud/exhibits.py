"""Exhibits: their SQL and their rules."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import records
from api.crud.records import Page
from api.errors import Conflict, InvalidReference
from api.models import Animal, Exhibit, Staff
from api.schemas.exhibits import ExhibitCreate, ExhibitQuery, ExhibitUpdate

OCCUPANTS: dict[type[Animal] | type[Staff], str] = {Animal: "animals", Staff: "staff"}


async def list_page(session: AsyncSession, query: ExhibitQuery) -> Page[Exhibit]:
    """A page of the exhibits."""
    return await records.list_page(session, Exhibit, query, location=query.location)


async def get(session: AsyncSession, exhibit_id: int) -> Exhibit:
    """The exhibit `exhibit_id`; NotFound without one."""
    return await records.get(session, Exhibit, exhibit_id)


async def create(session: AsyncSession, data: ExhibitCreate) -> Exhibit:
    """A new exhibit."""
    return await records.create(session, Exhibit(**data.model_dump()))


async def update(session: AsyncSession, exhibit_id: int, changes: ExhibitUpdate) -> Exhibit:
    """Change an exhibit; NotFound without one."""
    return await records.change(session, await records.get(session, Exhibit, exhibit_id, lock=True), changes)


async def delete(session: AsyncSession, exhibit_id: int) -> Exhibit:
    """Delete an exhibit: NotFound without one, Conflict while animals or staff belong to it.

    The lock keeps others from moving in at the same moment: see `require`.
    """
    await records.get(session, Exhibit, exhibit_id, lock=True)
    for model, inhabitants in OCCUPANTS.items():
        if await records.any_in_exhibit(session, model, exhibit_id):
            raise Conflict(f"Exhibit {exhibit_id} still has {inhabitants}: move or delete them first")
    return await records.delete(session, Exhibit, exhibit_id)


async def require(session: AsyncSession, exhibit_id: int | None) -> None:
    """Make sure that a live exhibit can be referred to until this transaction ends; InvalidReference without one.

    A share lock, for a key-share lock (the foreign key's own) does not keep out the update that deletes softly.
    """
    if exhibit_id is None:
        return
    found = records.live(Exhibit).where(Exhibit.id == exhibit_id).with_for_update(read=True)
    if await session.scalar(found.with_only_columns(Exhibit.id)) is None:
        raise InvalidReference("exhibit_id", f"No exhibit {exhibit_id}")
