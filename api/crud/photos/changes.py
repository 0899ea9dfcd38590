"""Changing and removing photos."""

from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos.first import keep_first, lock_photos
from api.crud.photos.reads import no_photo, photos_of, read, require_animal
from api.enums.photos import PhotoState
from api.http.etags import IfMatch
from api.models.photos import Photo
from api.schemas.photos import PhotoRead, PhotoUpdate


async def update(
    session: AsyncSession, animal_id: int, photo_id: int, changes: PhotoUpdate, if_match: IfMatch
) -> PhotoRead:
    """Change a photo's text, or move it.

    NotFound without one, PreconditionFailed if it is not as the client has seen it. A place after all is the last.
    """
    photos, photo = await _locked(session, animal_id, photo_id, if_match)
    sent = changes.model_dump()  # without what was not sent
    photo.alt = sent.get("alt", photo.alt)
    if "position" in sent:
        photos.remove(photo)
        photos.insert(sent["position"], photo)
    _number(photos)
    await keep_first(session, animal_id)
    return read(photo)


async def remove(session: AsyncSession, animal_id: int, photo_id: int, if_match: IfMatch) -> None:
    """Take a photo away: NotFound without one, PreconditionFailed if it is not as the client has seen it.

    Its row is the order to delete its objects, and goes with them (api/crud/photos/work.py).
    """
    photos, photo = await _locked(session, animal_id, photo_id, if_match)
    photo.state, photo.reason = PhotoState.REMOVED, None
    photos.remove(photo)
    _number(photos)
    await keep_first(session, animal_id)


async def _locked(session: AsyncSession, animal_id: int, photo_id: int, if_match: IfMatch) -> tuple[list[Photo], Photo]:
    """All photos of the animal, and this one among them, locked against changes."""
    await lock_photos(session, animal_id)
    await require_animal(session, animal_id)
    locked = list(await session.scalars(photos_of(animal_id).with_for_update(key_share=True)))
    photo = next((photo for photo in locked if photo.id == photo_id), None)
    if photo is None:
        raise no_photo(animal_id, photo_id)
    if_match.require(read(photo))
    return locked, photo


def _number(photos: list[Photo]) -> None:
    for position, photo in enumerate(photos):
        photo.position = position
