"""/staff: personal data, for those who work here."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Query

from api.crud import staff
from api.dependencies import ADMIN, KEEPER, JsonBody, LinksDep, RecordId, SessionDep
from api.errors import NotFound
from api.models import Staff
from api.openapi import BODY, CREATED, PAGE, RESTRICTED, errors
from api.schemas.staff import StaffCreate, StaffQuery, StaffRead, StaffUpdate

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[KEEPER], responses=RESTRICTED)


@router.get("", response_model=list[StaffRead], responses=PAGE)
async def list_staff(query: Annotated[StaffQuery, Query()], session: SessionDep, links: LinksDep) -> Sequence[Staff]:
    """List staff, in id order and without the deleted."""
    return links.page(await staff.list_page(session, query))


@router.post("", response_model=StaffRead, status_code=201, responses=CREATED, dependencies=[ADMIN, JsonBody])
async def create_staff_member(data: StaffCreate, session: SessionDep, links: LinksDep) -> Staff:
    """Create a member of staff."""
    return links.created(await staff.create(session, data))


@router.get("/{staff_id}", response_model=StaffRead, responses=errors(NotFound))
async def read_staff_member(staff_id: RecordId, session: SessionDep) -> Staff:
    """Read a member of staff."""
    return await staff.get(session, staff_id)


@router.patch(
    "/{staff_id}", response_model=StaffRead, responses=BODY | errors(NotFound), dependencies=[ADMIN, JsonBody]
)
async def update_staff_member(
    staff_id: RecordId, changes: Annotated[StaffUpdate, Body(default_factory=StaffUpdate)], session: SessionDep
) -> Staff:
    """Change a member of staff: only the fields sent; null clears an optional one."""
    return await staff.update(session, staff_id, changes)


@router.delete("/{staff_id}", response_model=StaffRead, responses=errors(NotFound), dependencies=[ADMIN])
async def delete_staff_member(staff_id: RecordId, session: SessionDep) -> Staff:
    """Delete a member of staff. The answer is the record as it was, with `deleted_at` set."""
    return await staff.delete(session, staff_id)
