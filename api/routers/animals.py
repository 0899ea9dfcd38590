"""/animals"""

from typing import Annotated

from fastapi import Body, Query, Response

from api.crud import animals
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
from api.schemas.animals import AnimalCreate, AnimalQuery, AnimalRead, AnimalUpdate
from api.schemas.fields import RECORD_BODY

router = resource_router("animals", max_body_size=RECORD_BODY)
ONCE = honours_key(animals.require_readable)


@router.get("", response_model=list[AnimalRead], responses=PAGE)
async def list_animals(query: Annotated[AnimalQuery, Query()], db: ReadDatabaseDep, links: LinksDep) -> Response:
    """List animals, without deleted ones."""
    return links.page(await animals.list_page(db, query))


@router.get(".csv", response_class=Response, responses=RESTRICTED | CSV, dependencies=[ADMIN])
async def export_animals(db: DatabaseDep) -> Response:
    """All animals as CSV, without deleted ones, in id order: `python -m api import --update` reads it again."""
    return CsvResponse(export_csv(db, "animals"), "animals.csv")


@router.post("", status_code=201, responses=CREATED | RESTRICTED | KEYED, dependencies=[KEEPER, ONCE])
async def create_animal(data: AnimalCreate, db: ChangesDep, links: LinksDep) -> AnimalRead:
    """Create an animal."""
    return links.created(await animals.create(db, data))


@router.get("/{animal_id}", responses=RECORD | errors(NotFound))
async def read_animal(animal_id: RecordId, db: ReadDatabaseDep) -> AnimalRead:
    """Read an animal."""
    return await animals.get(db, animal_id)


@router.patch(
    "/{animal_id}", responses=BODY | RESTRICTED | CHANGED | errors(NotFound) | KEYED, dependencies=[KEEPER, ONCE]
)
async def update_animal(
    animal_id: RecordId,
    changes: Annotated[AnimalUpdate, Body(default_factory=AnimalUpdate)],
    db: ChangesDep,
    if_match: IfMatchDep,
) -> AnimalRead:
    """Change an animal: only the fields sent; null clears an optional one."""
    return await animals.update(db, animal_id, changes, if_match)


@router.delete("/{animal_id}", responses=RESTRICTED | DELETED | errors(NotFound) | KEYED, dependencies=[KEEPER, ONCE])
async def delete_animal(animal_id: RecordId, db: ChangesDep, if_match: IfMatchDep) -> AnimalRead:
    """Delete an animal. The answer is the record as it was, with `deleted_at` set."""
    return await animals.delete(db, animal_id, if_match)


@router.post(
    "/{animal_id}/restore", responses=RESTRICTED | CHANGED | errors(NotFound) | KEYED, dependencies=[ADMIN, ONCE]
)
async def restore_animal(animal_id: RecordId, db: ChangesDep, if_match: IfMatchDep) -> AnimalRead:
    """Undo that an animal was deleted. Its exhibit must not be deleted."""
    return await animals.restore(db, animal_id, if_match)
