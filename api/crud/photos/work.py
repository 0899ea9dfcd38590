"""What is done with photos after their requests: those that were approved are decoded and written to the storage; of
those that were removed, the objects are deleted.

A worker claims a photo by a lease in its row, so that no connection is held meanwhile, and that another one takes over
if it dies. Each step may be done twice, and a photo is ready only when all of its objects are written: wherever one is
killed, the next one ends in the same state.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos.first import keep_first, lock_photos
from api.crud.photos.objects import original_key, rendition_keys, upload_key
from api.crud.rounds import one_round
from api.database.engine import Transactions
from api.decoder.run import Decoded, DecoderDied, Undecodable, decode, only_decoder
from api.enums.photos import PhotoState
from api.external_services.errors import StorageRefused, StorageUnavailable
from api.external_services.s3 import S3
from api.models.photos import TO_BE_DONE, Photo

LOOK_EVERY_SECONDS = 5
WORK_SECONDS = 280  # at most, for one photo
LEASE = timedelta(seconds=WORK_SECONDS + 20)
TRIES = 3
# Until the next try, if the decoder died, or the storage can't be reached; and if it refuses.
PAUSE, LONG_PAUSE = timedelta(seconds=10), timedelta(minutes=5)
WEBP = "image/webp"
GONE = "what was uploaded is no longer there"
KILLED = "its decoder, or the server, died several times in the middle of it"

log = structlog.get_logger(__name__)


async def keep_tending_photos(transactions: Transactions, s3: S3 | None, is_due: asyncio.Event) -> None:
    """Do what is to be done with photos, when `is_due` is set and regularly, until cancelled.

    Many workers may do so: on one machine they take turns. Without a storage there is nothing to do.
    """
    while s3 is not None:
        is_due.clear()
        with one_round("photos", "photos left", StorageRefused), only_decoder() as lock:
            while lock is not None and await work(transactions, s3, lock):
                pass
        try:
            async with asyncio.timeout(LOOK_EVERY_SECONDS):
                await is_due.wait()
        except TimeoutError:
            continue


async def work(transactions: Transactions, s3: S3, lock: int) -> bool:
    """Do what is to be done with one photo; whether there was one. `lock` is the decoder's."""
    async with transactions() as session:
        photo = await _claim(session)
    if photo is None:
        return False
    try:
        async with asyncio.timeout(WORK_SECONDS):
            if photo.state is PhotoState.REMOVED:
                await _remove(transactions, s3, photo)
            elif photo.tries > TRIES:
                await _fail(transactions, s3, photo, KILLED)
            else:
                await _process(transactions, s3, photo, lock)
    except DecoderDied as error:
        log.warning("photo not decoded", photo=photo.id, tries=photo.tries, reason=str(error))
        if photo.tries == TRIES:
            await _fail(transactions, s3, photo, str(error))
        else:
            await _let_go(transactions, photo, PAUSE)
    except (StorageUnavailable, TimeoutError):
        await _let_go(transactions, photo, PAUSE, counts=False)
        raise
    except StorageRefused as error:
        if photo.state is PhotoState.PROCESSING and photo.tries == TRIES:
            with suppress(StorageUnavailable, StorageRefused):  # the lifecycle rule for uploads deletes it, too
                await s3.delete(upload_key(photo))
            await _end(transactions, photo, PhotoState.FAILED, reason=str(error))
        else:
            await _let_go(transactions, photo, LONG_PAUSE)
        raise
    except asyncio.CancelledError:
        await _let_go(transactions, photo, timedelta(0), counts=False)
        raise
    return True


async def _claim(session: AsyncSession) -> Photo | None:
    now = func.statement_timestamp()
    due = select(Photo).where(TO_BE_DONE, or_(Photo.claimed_until.is_(None), Photo.claimed_until <= now))
    first = due.order_by(Photo.id).limit(1).with_for_update(key_share=True, skip_locked=True)
    photo = await session.scalar(first)
    if photo is not None:
        photo.tries += 1
        photo.claimed_until = (await session.execute(select(now + LEASE))).scalar_one()
    return photo


async def _process(transactions: Transactions, s3: S3, photo: Photo, lock: int) -> None:
    try:
        data = await _read(s3, photo)
        decoded = await decode(data, lock)
    except Undecodable as error:
        await _fail(transactions, s3, photo, str(error))
        return
    await s3.put_private(original_key(photo), data, decoded.content_type)
    for key, rendition in zip(rendition_keys(photo), decoded.renditions, strict=True):
        await s3.put_public(key, rendition, WEBP)
    await s3.delete(upload_key(photo))
    await _end(transactions, photo, PhotoState.READY, decoded=decoded)


async def _read(s3: S3, photo: Photo) -> bytes:
    """What was approved; once its upload is deleted, what was kept of it."""
    assert photo.etag is not None
    if (data := await s3.get(upload_key(photo), photo.etag, size=photo.size)) is not None:
        return data
    head = await s3.head(original_key(photo))
    data = None if head is None else await s3.get(original_key(photo), head.etag, size=photo.size)
    if data is None:
        raise Undecodable(GONE)
    return data


async def _fail(transactions: Transactions, s3: S3, photo: Photo, reason: str) -> None:
    await s3.delete(upload_key(photo))
    await _end(transactions, photo, PhotoState.FAILED, reason=reason)


async def _remove(transactions: Transactions, s3: S3, photo: Photo) -> None:
    """Delete its objects and its row, but not the original: a backup from before may be restored (sweep.py)."""
    for key in rendition_keys(photo):
        await s3.delete_public(key)
    await s3.delete(upload_key(photo))
    async with transactions() as session:
        if (mine := await _mine(session, photo)) is not None:
            await session.delete(mine)


async def _end(
    transactions: Transactions,
    photo: Photo,
    state: PhotoState,
    *,
    decoded: Decoded | None = None,
    reason: str | None = None,
) -> None:
    async with transactions() as session:
        await lock_photos(session, photo.animal_id)
        mine = await _mine(session, photo)
        if mine is None:
            return
        mine.state, mine.reason, mine.claimed_until, mine.tries = state, reason, None, 0
        if decoded is not None:
            mine.content_type, mine.width, mine.height = decoded.content_type, decoded.width, decoded.height
        await keep_first(session, photo.animal_id)
    log.info("photo " + state.value, photo=photo.id, reason=reason)  # noqa: G003 - two static names


async def _let_go(transactions: Transactions, photo: Photo, pause: timedelta, *, counts: bool = True) -> None:
    """End the claim, for another try after the pause."""
    async with transactions() as session:
        mine = await _mine(session, photo)
        if mine is not None:
            until: datetime = (await session.execute(select(func.statement_timestamp() + pause))).scalar_one()
            mine.claimed_until = until
            mine.tries -= 0 if counts else 1


async def _mine(session: AsyncSession, photo: Photo) -> Photo | None:
    """The photo, locked, if it is still claimed by this worker; None if it was removed, or another has taken over."""
    claimed = select(Photo).where(
        Photo.id == photo.id, Photo.state == photo.state, Photo.claimed_until == photo.claimed_until
    )
    return await session.scalar(claimed.with_for_update(key_share=True))
