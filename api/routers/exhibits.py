"""/exhibits"""

from typing import Annotated

from fastapi import Body, Query, Response

from api.crud import animals, exhibits, staff
from api.crud.exports import export_csv
from api.dependencies import (
    ADMIN,
    KEEPER,
    ChangesDep,
    DatabaseDep,
    IfMatchDep,
    LinksDep,
    ReadDatabaseDep,
    RecordId,
    honours_key,
)
from api.errors import NotFound
from api.http.csv_response import CSV, CsvResponse
from api.http.openapi import BODY, CHANGED, CREATED, DELETED, KEYED, PAGE, RECORD, RESTRICTED, errors, resource_router
from api.schemas.animals import AnimalRead, ExhibitAnimalQuery
from api.schemas.exhibits import ExhibitCreate, ExhibitQuery, ExhibitRead, ExhibitUpdate
from api.schemas.fields import RECORD_BODY, PageQuery
from api.schemas.staff import StaffRead

router = resource_router("exhibits", max_body_size=RECORD_BODY)
ONCE = honours_key(exhibits.require_readable)


@router.get("", response_model=list[ExhibitRead], responses=PAGE)
async def list_exhibits(query: Annotated[ExhibitQuery, Query()], db: ReadDatabaseDep, links: LinksDep) -> Response:
    """List exhibits, without deleted ones."""
    return links.page(await exhibits.list_page(db, query))


@router.get(".csv", response_class=Response, responses=RESTRICTED | CSV, dependencies=[ADMIN])
async def export_exhibits(db: DatabaseDep) -> Response:
    """All exhibits as CSV, without deleted ones, in id order: `python -m api import --update` reads it again."""
    return CsvResponse(export_csv(db, "exhibits"), "exhibits.csv")


@router.post("", status_code=201, responses=CREATED | RESTRICTED | KEYED, dependencies=[ADMIN, ONCE])
async def create_exhibit(data: ExhibitCreate, db: ChangesDep, links: LinksDep) -> ExhibitRead:
    """Create an exhibit."""
    return links.created(await exhibits.create(db, data))


@router.get("/{exhibit_id}", responses=RECORD | errors(NotFound))
async def read_exhibit(exhibit_id: RecordId, db: ReadDatabaseDep) -> ExhibitRead:
    """Read an exhibit."""
    return await exhibits.get(db, exhibit_id)


@router.patch(
    "/{exhibit_id}", responses=BODY | RESTRICTED | CHANGED | errors(NotFound) | KEYED, dependencies=[ADMIN, ONCE]
)
async def update_exhibit(
    exhibit_id: RecordId,
    changes: Annotated[ExhibitUpdate, Body(default_factory=ExhibitUpdate)],
    db: ChangesDep,
    if_match: IfMatchDep,
) -> ExhibitRead:
    """Change an exhibit: only the fields sent; null clears an optional one."""
    return await exhibits.update(db, exhibit_id, changes, if_match)


@router.delete("/{exhibit_id}", responses=RESTRICTED | DELETED | errors(NotFound) | KEYED, dependencies=[ADMIN, ONCE])
async def delete_exhibit(exhibit_id: RecordId, db: ChangesDep, if_match: IfMatchDep) -> ExhibitRead:
    """Delete an exhibit that has no animals or staff. The answer is the record as it was, with `deleted_at` set."""
    return await exhibits.delete(db, exhibit_id, if_match)


@router.post(
    "/{exhibit_id}/restore", responses=RESTRICTED | CHANGED | errors(NotFound) | KEYED, dependencies=[ADMIN, ONCE]
)
async def restore_exhibit(exhibit_id: RecordId, db: ChangesDep, if_match: IfMatchDep) -> ExhibitRead:
    """Undo that an exhibit was deleted."""
    return await exhibits.restore(db, exhibit_id, if_match)


@router.get("/{exhibit_id}/animals", response_model=list[AnimalRead], responses=PAGE | errors(NotFound))
async def list_animals_of_exhibit(
    exhibit_id: RecordId, query: Annotated[ExhibitAnimalQuery, Query()], db: ReadDatabaseDep, links: LinksDep
) -> Response:
    """List the animals of an exhibit, without deleted ones."""
    return links.page(await animals.list_page_of_exhibit(db, exhibit_id, query))


@router.get(
    "/{exhibit_id}/staff",
    response_model=list[StaffRead],
    responses=PAGE | RESTRICTED | errors(NotFound),
    dependencies=[KEEPER],
)
async def list_staff_of_exhibit(
    exhibit_id: RecordId, query: Annotated[PageQuery, Query()], db: DatabaseDep, links: LinksDep
) -> Response:
    """List the staff of an exhibit, without deleted ones."""
    return links.page(await staff.list_page_of_exhibit(db, exhibit_id, query))
