"""/exhibits"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Query

from api.crud import animals, exhibits, staff
from api.dependencies import ADMIN, KEEPER, JsonBody, LinksDep, RecordId, SessionDep
from api.errors import Conflict, NotFound
from api.models import Animal, Exhibit, Staff
from api.openapi import BODY, CREATED, PAGE, RESTRICTED, errors
from api.schemas.animals import AnimalRead, ExhibitAnimalQuery
from api.schemas.exhibits import ExhibitCreate, ExhibitQuery, ExhibitRead, ExhibitUpdate
from api.schemas.fields import PageQuery
from api.schemas.staff import StaffRead

router = APIRouter(prefix="/exhibits", tags=["exhibits"])


@router.get("", response_model=list[ExhibitRead], responses=PAGE)
async def list_exhibits(
    query: Annotated[ExhibitQuery, Query()], session: SessionDep, links: LinksDep
) -> Sequence[Exhibit]:
    """List exhibits, in id order and without the deleted."""
    return links.page(await exhibits.list_page(session, query))


@router.post(
    "", response_model=ExhibitRead, status_code=201, responses=CREATED | RESTRICTED, dependencies=[ADMIN, JsonBody]
)
async def create_exhibit(data: ExhibitCreate, session: SessionDep, links: LinksDep) -> Exhibit:
    """Create an exhibit."""
    return links.created(await exhibits.create(session, data))


@router.get("/{exhibit_id}", response_model=ExhibitRead, responses=errors(NotFound))
async def read_exhibit(exhibit_id: RecordId, session: SessionDep) -> Exhibit:
    """Read an exhibit."""
    return await exhibits.get(session, exhibit_id)


@router.patch(
    "/{exhibit_id}",
    response_model=ExhibitRead,
    responses=BODY | RESTRICTED | errors(NotFound),
    dependencies=[ADMIN, JsonBody],
)
async def update_exhibit(
    exhibit_id: RecordId, changes: Annotated[ExhibitUpdate, Body(default_factory=ExhibitUpdate)], session: SessionDep
) -> Exhibit:
    """Change an exhibit: only the fields sent; null clears an optional one."""
    return await exhibits.update(session, exhibit_id, changes)


@router.delete(
    "/{exhibit_id}", response_model=ExhibitRead, responses=RESTRICTED | errors(NotFound, Conflict), dependencies=[ADMIN]
)
async def delete_exhibit(exhibit_id: RecordId, session: SessionDep) -> Exhibit:
    """Delete an exhibit without animals and staff. The answer is the record as it was, with `deleted_at` set."""
    return await exhibits.delete(session, exhibit_id)


@router.get("/{exhibit_id}/animals", response_model=list[AnimalRead], responses=PAGE | errors(NotFound))
async def list_animals_of_exhibit(
    exhibit_id: RecordId, query: Annotated[ExhibitAnimalQuery, Query()], session: SessionDep, links: LinksDep
) -> Sequence[Animal]:
    """List the animals of an exhibit, in id order and without the deleted."""
    return links.page(await animals.list_page_of_exhibit(session, exhibit_id, query))


@router.get(
    "/{exhibit_id}/staff",
    response_model=list[StaffRead],
    responses=PAGE | RESTRICTED | errors(NotFound),
    dependencies=[KEEPER],
)
async def list_staff_of_exhibit(
    exhibit_id: RecordId, query: Annotated[PageQuery, Query()], session: SessionDep, links: LinksDep
) -> Sequence[Staff]:
    """List the staff of an exhibit, in id order and without the deleted."""
    return links.page(await staff.list_page_of_exhibit(session, exhibit_id, query))
