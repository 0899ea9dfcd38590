"""/animals"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Query

from api.crud import animals
from api.dependencies import KEEPER, JsonBody, LinksDep, RecordId, SessionDep
from api.errors import NotFound
from api.models import Animal
from api.openapi import BODY, CREATED, PAGE, RESTRICTED, errors
from api.schemas.animals import AnimalCreate, AnimalQuery, AnimalRead, AnimalUpdate

router = APIRouter(prefix="/animals", tags=["animals"])


@router.get("", response_model=list[AnimalRead], responses=PAGE)
async def list_animals(
    query: Annotated[AnimalQuery, Query()], session: SessionDep, links: LinksDep
) -> Sequence[Animal]:
    """List animals, in id order and without the deleted."""
    return links.page(await animals.list_page(session, query))


@router.post(
    "", response_model=AnimalRead, status_code=201, responses=CREATED | RESTRICTED, dependencies=[KEEPER, JsonBody]
)
async def create_animal(data: AnimalCreate, session: SessionDep, links: LinksDep) -> Animal:
    """Create an animal."""
    return links.created(await animals.create(session, data))


@router.get("/{animal_id}", response_model=AnimalRead, responses=errors(NotFound))
async def read_animal(animal_id: RecordId, session: SessionDep) -> Animal:
    """Read an animal."""
    return await animals.get(session, animal_id)


@router.patch(
    "/{animal_id}",
    response_model=AnimalRead,
    responses=BODY | RESTRICTED | errors(NotFound),
    dependencies=[KEEPER, JsonBody],
)
async def update_animal(
    animal_id: RecordId, changes: Annotated[AnimalUpdate, Body(default_factory=AnimalUpdate)], session: SessionDep
) -> Animal:
    """Change an animal: only the fields sent; null clears an optional one."""
    return await animals.update(session, animal_id, changes)


@router.delete(
    "/{animal_id}", response_model=AnimalRead, responses=RESTRICTED | errors(NotFound), dependencies=[KEEPER]
)
async def delete_animal(animal_id: RecordId, session: SessionDep) -> Animal:
    """Delete an animal. The answer is the record as it was, with `deleted_at` set."""
    return await animals.delete(session, animal_id)
