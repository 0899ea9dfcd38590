"""Uploads: from the URL to which a photo is uploaded, past the api, to its approval. No transaction is open while the
storage is asked.
"""

from datetime import UTC, datetime, timedelta
from secrets import token_hex

from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.accounts.access_tokens import Caller
from api.crud.photos import quotas
from api.crud.photos.first import lock_photos
from api.crud.photos.objects import INCOMING, upload_key
from api.crud.photos.reads import no_photo, photos_of, read, require_animal, seen
from api.database.engine import Transactions
from api.enums.photos import PhotoState
from api.errors import Conflict
from api.external_services.s3 import S3
from api.models.photos import Photo
from api.schemas.photos import PhotoCreate, PhotoCreated, PhotoRead, Upload

UPLOAD_SECONDS = 3600
NAME_BYTES = 16


async def create(session: AsyncSession, s3: S3, caller: Caller, animal_id: int, data: PhotoCreate) -> PhotoCreated:
    """A new photo, and where to upload it.

    NotFound without the animal, Conflict if it has as many as it may have, TooManyRequests if the caller has.
    """
    upload, expires_at = token_hex(NAME_BYTES), datetime.now(UTC) + timedelta(seconds=UPLOAD_SECONDS)
    # First, because a key that has to be asked for takes a while.
    put = await s3.presigned_put(
        INCOMING + upload, size=data.size, content_type=data.content_type, expires=UPLOAD_SECONDS
    )
    await lock_photos(session, animal_id)
    await require_animal(session, animal_id)
    position = await quotas.require_place(session, animal_id)
    await quotas.require_room(session, caller, data.size)
    photo = Photo(
        animal_id=animal_id,
        user_id=caller.id,
        upload=upload,
        name=token_hex(NAME_BYTES),
        position=position,
        **data.model_dump(),
    )
    session.add(photo)
    await session.flush()  # its id and timestamps are in the answer
    return PhotoCreated.model_validate(
        seen(photo) | {"upload": Upload(url=put.url, headers=put.headers, expires_at=expires_at)}
    )


async def complete(transactions: Transactions, s3: S3, animal_id: int, photo_id: int) -> PhotoRead:
    """Approve what was uploaded, for the decoder to work on; if that was done before, nothing changes.

    NotFound without the photo, Conflict if nothing was uploaded, or something else, or if the photo has failed.
    StorageUnavailable or StorageRefused if the storage fails.
    """
    async with transactions() as session:
        photo = await _find(session, animal_id, photo_id)
    if photo.state is PhotoState.PENDING:
        etag = await _uploaded(s3, photo)
        async with transactions() as session:
            photo = await _find(session, animal_id, photo_id)
            if photo.state is PhotoState.PENDING:
                photo.state, photo.etag = PhotoState.PROCESSING, etag
    if photo.state is PhotoState.FAILED:
        raise Conflict(f"Photo {photo_id} has failed: {photo.reason}. Delete it, and upload another one")
    return read(photo)


async def _find(session: AsyncSession, animal_id: int, photo_id: int) -> Photo:
    await require_animal(session, animal_id)
    found = photos_of(animal_id).where(Photo.id == photo_id).with_for_update(key_share=True)
    photo = await session.scalar(found)
    if photo is None:
        raise no_photo(animal_id, photo_id)
    return photo


async def _uploaded(s3: S3, photo: Photo) -> str:
    """The ETag of what was uploaded: if another upload replaces it after this, that is never looked at."""
    head = await s3.head(upload_key(photo))
    if head is None:
        raise Conflict(f"Nothing was uploaded for photo {photo.id}: PUT it to the URL of the answer to POST first")
    if head.size != photo.size:
        raise Conflict(f"{head.size:,} bytes were uploaded for photo {photo.id}, and not {photo.size:,}: delete it")
    return head.etag
