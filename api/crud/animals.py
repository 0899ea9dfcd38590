"""Animals: their SQL and their rules."""

from api.crud import exhibits, occupants, records
from api.crud.accounts.access_tokens import Caller
from api.crud.photos.first import FIRST_PHOTO
from api.crud.records import Resource
from api.database.driver import Database
from api.database.json_rows import JsonPage
from api.database.statements import Executor, ReadDatabase
from api.http.etags import IfMatch
from api.models import Animal
from api.schemas.animals import AnimalCreate, AnimalQuery, AnimalRead, AnimalUpdate, ExhibitAnimalQuery

ANIMAL = Resource(Animal, AnimalRead, "animal", {"photo": FIRST_PHOTO})


async def list_page(db: ReadDatabase, query: AnimalQuery) -> JsonPage:
    """A page of the animals."""
    return await records.list_page(
        db, ANIMAL, query, exhibit_id=query.exhibit_id, species=query.species, name=query.name
    )


async def list_page_of_exhibit(db: ReadDatabase, exhibit_id: int, query: ExhibitAnimalQuery) -> JsonPage:
    """A page of the animals of an exhibit; NotFound without the exhibit."""
    await exhibits.get(db, exhibit_id)
    return await list_page(db, AnimalQuery.model_construct(**query.__dict__, exhibit_id=exhibit_id))


async def require_readable(db: Executor, _: Caller, animal_id: str) -> None:
    """NotFound unless there is the animal."""
    await get(db, int(animal_id))


async def get(db: ReadDatabase, animal_id: int) -> AnimalRead:
    """The animal `animal_id`; NotFound without one."""
    return await records.get(db, ANIMAL, animal_id)


async def create(db: Database, data: AnimalCreate) -> AnimalRead:
    """A new animal; InvalidReference if its exhibit does not exist."""
    return await occupants.create(db, ANIMAL, data, data.exhibit_id)


async def update(db: Database, animal_id: int, changes: AnimalUpdate, if_match: IfMatch) -> AnimalRead:
    """Change an animal: NotFound without one, PreconditionFailed if it is not as the client has seen it,
    InvalidReference if its new exhibit does not exist.
    """
    return await occupants.update(db, ANIMAL, animal_id, changes, changes.exhibit_id, if_match=if_match)


async def delete(db: Database, animal_id: int, if_match: IfMatch) -> AnimalRead:
    """Delete an animal: NotFound without one, PreconditionFailed if it is not as the client has seen it."""
    return await occupants.delete(db, ANIMAL, animal_id, if_match)


async def restore(db: Database, animal_id: int, if_match: IfMatch) -> AnimalRead:
    """Undo that an animal was deleted: NotFound if it never existed, PreconditionFailed if it is not as the client has
    seen it, Conflict if its exhibit is deleted.
    """
    return await occupants.restore(db, ANIMAL, animal_id, if_match)
