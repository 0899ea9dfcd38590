"""/staff: who works in the zoo; personal data, for keepers and admins."""

from typing import Annotated

from fastapi import Body, Query, Response

from api.crud import staff
from api.crud.exports import export_csv
from api.dependencies import ADMIN, KEEPER, ChangesDep, DatabaseDep, IfMatchDep, LinksDep, RecordId, honours_key
from api.errors import NotFound
from api.http.csv_response import CSV, CsvResponse
from api.http.openapi import BODY, CHANGED, CREATED, DELETED, KEYED, PAGE, RECORD, RESTRICTED, errors, resource_router
from api.schemas.fields import RECORD_BODY
from api.schemas.staff import StaffCreate, StaffQuery, StaffRead, StaffUpdate

MISSING = errors(NotFound, example="No member of staff 7")
router = resource_router("staff", dependencies=[KEEPER], responses=RESTRICTED, max_body_size=RECORD_BODY)
ONCE = honours_key(staff.require_readable)


@router.get("", response_model=list[StaffRead], responses=PAGE)
async def list_staff(query: Annotated[StaffQuery, Query()], db: DatabaseDep, links: LinksDep) -> Response:
    """List staff, without deleted ones."""
    return links.page(await staff.list_page(db, query))


@router.get(".csv", response_class=Response, responses=CSV, dependencies=[ADMIN])
async def export_staff(db: DatabaseDep) -> Response:
    """All staff as CSV, without deleted ones, in id order: `python -m api import --update` reads it again."""
    return CsvResponse(export_csv(db, "staff"), "staff.csv")


@router.post("", status_code=201, responses=CREATED | KEYED, dependencies=[ADMIN, ONCE])
async def create_staff_member(data: StaffCreate, db: ChangesDep, links: LinksDep) -> StaffRead:
    """Create a member of staff."""
    return links.created(await staff.create(db, data))


@router.get("/{staff_id}", responses=RECORD | MISSING)
async def read_staff_member(staff_id: RecordId, db: DatabaseDep) -> StaffRead:
    """Read a member of staff."""
    return await staff.get(db, staff_id)


@router.patch("/{staff_id}", responses=BODY | CHANGED | MISSING | KEYED, dependencies=[ADMIN, ONCE])
async def update_staff_member(
    staff_id: RecordId,
    changes: Annotated[StaffUpdate, Body(default_factory=StaffUpdate)],
    db: ChangesDep,
    if_match: IfMatchDep,
) -> StaffRead:
    """Change a member of staff: only the fields sent; null clears an optional one."""
    return await staff.update(db, staff_id, changes, if_match)


@router.delete("/{staff_id}", responses=DELETED | MISSING | KEYED, dependencies=[ADMIN, ONCE])
async def delete_staff_member(staff_id: RecordId, db: ChangesDep, if_match: IfMatchDep) -> StaffRead:
    """Delete a member of staff. The answer is the record as it was, with `deleted_at` set."""
    return await staff.delete(db, staff_id, if_match)


@router.post("/{staff_id}/restore", responses=CHANGED | MISSING | KEYED, dependencies=[ADMIN, ONCE])
async def restore_staff_member(staff_id: RecordId, db: ChangesDep, if_match: IfMatchDep) -> StaffRead:
    """Undo that a member of staff was deleted. Its exhibit must not be deleted."""
    return await staff.restore(db, staff_id, if_match)
