"""Staff: their SQL and their rules."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import exhibits, records
from api.crud.records import Page
from api.models import Staff
from api.schemas.fields import PageQuery
from api.schemas.staff import StaffCreate, StaffQuery, StaffUpdate


async def list_page(session: AsyncSession, query: StaffQuery) -> Page[Staff]:
    """A page of the staff."""
    return await records.list_page(session, Staff, query, exhibit_id=query.exhibit_id)


async def list_page_of_exhibit(session: AsyncSession, exhibit_id: int, query: PageQuery) -> Page[Staff]:
    """A page of the staff of an exhibit; NotFound without the exhibit."""
    await exhibits.get(session, exhibit_id)
    return await list_page(session, StaffQuery(**query.model_dump(), exhibit_id=exhibit_id))


async def get(session: AsyncSession, staff_id: int) -> Staff:
    """The member of staff `staff_id`; NotFound without one."""
    return await records.get(session, Staff, staff_id)


async def create(session: AsyncSession, data: StaffCreate) -> Staff:
    """A new member of staff; InvalidReference where its exhibit does not exist."""
    await exhibits.require(session, data.exhibit_id)
    return await records.create(session, Staff(**data.model_dump()))


async def update(session: AsyncSession, staff_id: int, changes: StaffUpdate) -> Staff:
    """Change a member of staff: NotFound without one, InvalidReference where its new exhibit does not exist."""
    member = await records.get(session, Staff, staff_id, lock=True)
    await exhibits.require(session, changes.exhibit_id)
    return await records.change(session, member, changes)


async def delete(session: AsyncSession, staff_id: int) -> Staff:
    """Delete a member of staff; NotFound without one."""
    return await records.delete(session, Staff, staff_id)
