"""How much may be stored: nobody who only has a keeper's account can fill the storage."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.accounts.access_tokens import Caller
from api.crud.photos.reads import photos_of
from api.enums.photos import PhotoState
from api.errors import Conflict, TooManyRequests
from api.models.photos import Photo
from api.models.users import User
from api.schemas.photos import MAX_PHOTOS

# Of a user: uploads that are not completed, and bytes of all photos.
MAX_UPLOADS = 20
MAX_BYTES = 10_000_000_000
WAIT_SECONDS = 600


async def require_place(session: AsyncSession, animal_id: int) -> int:
    """The place of one more photo of an animal, whose photos are locked; Conflict if there is none."""
    places = (await session.scalars(photos_of(animal_id).with_only_columns(Photo.position))).all()
    if len(places) >= MAX_PHOTOS:
        raise Conflict(f"Animal {animal_id} has {len(places)} photos, and no animal has more: delete one first")
    return max(places, default=-1) + 1


async def require_room(session: AsyncSession, caller: Caller, size: int) -> None:
    """TooManyRequests if the caller may not upload `size` bytes more.

    The caller's requests go one after the other from here to the end of the transaction, so that all are counted.
    """
    await session.execute(select(User.id).where(User.id == caller.id).with_for_update(key_share=True))
    counted = select(
        func.count().filter(Photo.state.in_([PhotoState.PENDING, PhotoState.PROCESSING])),
        func.coalesce(func.sum(Photo.size), 0),
    ).where(Photo.user_id == caller.id)
    uploads, stored = (await session.execute(counted)).one()
    if uploads >= MAX_UPLOADS:
        raise TooManyRequests(f"You have begun {uploads} uploads: complete some, or delete them", WAIT_SECONDS)
    if stored + size > MAX_BYTES:
        raise TooManyRequests("Your photos take up too much room: delete some", WAIT_SECONDS)
