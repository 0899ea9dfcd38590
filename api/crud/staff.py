"""Staff: their SQL and their rules."""

from api.crud import exhibits, occupants, records
from api.crud.accounts.access_tokens import Caller
from api.crud.records import Resource
from api.database.driver import Database
from api.database.json_rows import JsonPage
from api.database.statements import Executor
from api.http.etags import IfMatch
from api.models import Staff
from api.schemas.fields import PageQuery
from api.schemas.staff import StaffCreate, StaffQuery, StaffRead, StaffUpdate

STAFF = Resource(Staff, StaffRead, "member of staff")


async def list_page(db: Executor, query: StaffQuery) -> JsonPage:
    """A page of the staff."""
    return await records.list_page(db, STAFF, query, exhibit_id=query.exhibit_id)


async def list_page_of_exhibit(db: Executor, exhibit_id: int, query: PageQuery) -> JsonPage:
    """A page of the staff of an exhibit; NotFound without the exhibit."""
    await exhibits.get(db, exhibit_id)
    return await list_page(db, StaffQuery.model_construct(**query.__dict__, exhibit_id=exhibit_id))


async def require_readable(db: Executor, _: Caller, staff_id: str) -> None:
    """NotFound unless there is the member of staff."""
    await get(db, int(staff_id))


async def get(db: Executor, staff_id: int) -> StaffRead:
    """The member of staff `staff_id`; NotFound without one."""
    return await records.get(db, STAFF, staff_id)


async def create(db: Database, data: StaffCreate) -> StaffRead:
    """A new member of staff; InvalidReference if its exhibit does not exist."""
    return await occupants.create(db, STAFF, data, data.exhibit_id)


async def update(db: Database, staff_id: int, changes: StaffUpdate, if_match: IfMatch) -> StaffRead:
    """Change a member of staff: NotFound without one, PreconditionFailed if it is not as the client has seen it,
    InvalidReference if its new exhibit does not exist.
    """
    return await occupants.update(db, STAFF, staff_id, changes, changes.exhibit_id, if_match=if_match)


async def delete(db: Database, staff_id: int, if_match: IfMatch) -> StaffRead:
    """Delete a member of staff: NotFound without one, PreconditionFailed if it is not as the client has seen it."""
    return await occupants.delete(db, STAFF, staff_id, if_match)


async def restore(db: Database, staff_id: int, if_match: IfMatch) -> StaffRead:
    """Undo that a member of staff was deleted: NotFound if it never existed, PreconditionFailed if it is not as
    the client has seen it, Conflict if its exhibit is deleted.
    """
    return await occupants.restore(db, STAFF, staff_id, if_match)
