"""What clients see of photos."""

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.accounts.access_tokens import Caller
from api.crud.photos.objects import LARGE, RENDITIONS, SMALL
from api.crud.records import live
from api.enums.photos import PhotoState
from api.enums.users import UserType
from api.errors import NotFound
from api.models.animals import Animal
from api.models.photos import Photo
from api.schemas.photos import PhotoRead
from api.settings import PUBLIC_URL


def photos_of(animal_id: int) -> Select[Photo]:
    """The photos of an animal, in their order, without those that are removed."""
    there = select(Photo).where(Photo.animal_id == animal_id, Photo.state != PhotoState.REMOVED)
    return there.order_by(Photo.position, Photo.id)


def read(photo: Photo) -> PhotoRead:
    """A photo as clients get it."""
    return PhotoRead.model_validate(seen(photo))


def seen(photo: Photo) -> dict[str, object]:
    """The fields of a photo that clients get."""
    url = PUBLIC_URL.get() if photo.state is PhotoState.READY else None
    stem = None if url is None else f"{url}/{RENDITIONS}{photo.name}"
    urls = {"small": stem and stem + SMALL, "large": stem and stem + LARGE}
    return {name: urls[name] if name in urls else getattr(photo, name) for name in PhotoRead.model_fields}


async def list_all(session: AsyncSession, caller: Caller | None, animal_id: int) -> list[PhotoRead]:
    """The photos of an animal, for keepers also those that are not ready; NotFound without the animal."""
    await require_animal(session, animal_id)
    return [read(photo) for photo in await session.scalars(_visible(photos_of(animal_id), caller))]


async def get(session: AsyncSession, caller: Caller | None, animal_id: int, photo_id: int) -> PhotoRead:
    """A photo of an animal; NotFound without the animal, or without one that the caller may see."""
    await require_animal(session, animal_id)
    photo = await session.scalar(_visible(photos_of(animal_id).where(Photo.id == photo_id), caller))
    if photo is None:
        raise no_photo(animal_id, photo_id)
    return read(photo)


async def require_animal(session: AsyncSession, animal_id: int) -> None:
    """NotFound if there is no such animal, or it is deleted."""
    if await session.scalar(live(Animal).where(Animal.id == animal_id).with_only_columns(Animal.id)) is None:
        raise NotFound(f"No animal {animal_id}")


def no_photo(animal_id: int, photo_id: int) -> NotFound:
    """The error that there is no such photo of the animal."""
    return NotFound(f"No photo {photo_id} of animal {animal_id}")


def _visible(photos: Select[Photo], caller: Caller | None) -> Select[Photo]:
    sees_all = caller is not None and caller.type.includes(UserType.KEEPER)
    return photos if sees_all else photos.where(Photo.state == PhotoState.READY)
