"""Animals: their SQL and their rules."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import exhibits, records
from api.crud.records import Page
from api.models import Animal
from api.schemas.animals import AnimalCreate, AnimalQuery, AnimalUpdate, ExhibitAnimalQuery


async def list_page(session: AsyncSession, query: AnimalQuery) -> Page[Animal]:
    """A page of the animals."""
    return await records.list_page(
        session, Animal, query, exhibit_id=query.exhibit_id, species=query.species, name=query.name
    )


async def list_page_of_exhibit(session: AsyncSession, exhibit_id: int, query: ExhibitAnimalQuery) -> Page[Animal]:
    """A page of the animals of an exhibit; NotFound without the exhibit."""
    await exhibits.get(session, exhibit_id)
    return await list_page(session, AnimalQuery(**query.model_dump(), exhibit_id=exhibit_id))


async def get(session: AsyncSession, animal_id: int) -> Animal:
    """The animal `animal_id`; NotFound without one."""
    return await records.get(session, Animal, animal_id)


async def create(session: AsyncSession, data: AnimalCreate) -> Animal:
    """A new animal; InvalidReference where its exhibit does not exist."""
    await exhibits.require(session, data.exhibit_id)
    return await records.create(session, Animal(**data.model_dump()))


async def update(session: AsyncSession, animal_id: int, changes: AnimalUpdate) -> Animal:
    """Change an animal: NotFound without one, InvalidReference where its new exhibit does not exist."""
    animal = await records.get(session, Animal, animal_id, lock=True)
    await exhibits.require(session, changes.exhibit_id)
    return await records.change(session, animal, changes)


async def delete(session: AsyncSession, animal_id: int) -> Animal:
    """Delete an animal; NotFound without one."""
    return await records.delete(session, Animal, animal_id)
