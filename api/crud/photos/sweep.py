"""Compares the storage with the database: objects of no photo, and photos without their objects.

An object of no photo is reported, and deleted only if it was reported before, longer ago than backups are kept: until
then a backup may be restored that has its photo. After a restore, all that was uploaded since the backup belongs to no
photo: it is reported for the first time then, whatever its age. What was reported, and when, is written down in the
storage, because the database may be as it was before.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from api.crud.photos.first import keep_first, lock_photos
from api.crud.photos.objects import INCOMING, ORIGINALS, RENDITIONS, original_key, rendition_keys, upload_key
from api.database.engine import Transactions
from api.enums.photos import PhotoState
from api.external_services.s3 import S3, Stored
from api.models.photos import Photo

REPORTED = "sweep/reported.json"
MAX_REPORT = 100_000  # objects; the others are reported when these are deleted
PAGE = 1000  # rows that are read at a time


@dataclass
class Sweep:
    """What was found: objects of no photo, of these the ones that may be deleted, and photos without their objects.

    `repairable` photos have an original, from which the renditions can be made again; of `lost` ones, it is gone.
    """

    unknown: dict[str, datetime] = field(default_factory=dict)
    deletable: list[str] = field(default_factory=list)
    repairable: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


async def sweep(transactions: Transactions, s3: S3, kept_for: timedelta, *, apply: bool) -> Sweep:
    """Compare, and with `apply`, delete what may be deleted, and have done again what can be repaired."""
    now, found = datetime.now(UTC), Sweep()
    ready_before = {photo.id async for photo in _photos(transactions) if photo.state is PhotoState.READY}
    stored = {one.key: one async for one in _objects(s3)}
    # After the objects: a row is there before its objects are.
    known: set[str] = set()
    reported = await _reported(s3)
    async for photo in _photos(transactions):
        known.update(_keys(photo))
        if photo.id in ready_before and photo.state is PhotoState.READY:
            has_original = original_key(photo) in stored
            if not has_original:
                found.lost.append(photo.id)
            elif not stored.keys() >= set(rendition_keys(photo)):
                found.repairable.append(photo.id)
    for key in sorted(stored.keys() - known)[:MAX_REPORT]:
        found.unknown[key] = since = reported.get(key, now)
        if max(since, stored[key].modified) <= now - kept_for:
            found.deletable.append(key)
    if apply:
        for key in found.deletable:
            await (s3.delete_public if key.startswith(RENDITIONS) else s3.delete)(key)
            del found.unknown[key]
        for photo_id in found.repairable:
            await _repair(transactions, photo_id)
    await _report(s3, found.unknown)
    return found


async def _photos(transactions: Transactions) -> AsyncIterator[Photo]:
    last = 0
    while True:
        async with transactions() as session:
            page = (await session.scalars(select(Photo).where(Photo.id > last).order_by(Photo.id).limit(PAGE))).all()
        for photo in page:
            yield photo
        if not page:
            return
        last = page[-1].id


async def _objects(s3: S3) -> AsyncIterator[Stored]:
    for objects in (s3.objects(INCOMING), s3.objects(ORIGINALS), s3.public_objects(RENDITIONS)):
        async for stored in objects:
            yield stored


def _keys(photo: Photo) -> Iterator[str]:
    """The objects that a photo may have."""
    if photo.state not in {PhotoState.READY, PhotoState.FAILED}:
        yield upload_key(photo)
    if photo.state not in {PhotoState.PENDING, PhotoState.FAILED}:
        yield original_key(photo)
        yield from rendition_keys(photo)


async def _reported(s3: S3) -> dict[str, datetime]:
    """What was reported before. If that can't be read, nothing was."""
    head = await s3.head(REPORTED)
    written = None if head is None else await s3.get(REPORTED, head.etag, size=head.size)
    with suppress(ValueError, TypeError, AttributeError):
        return {key: datetime.fromisoformat(since) for key, since in json.loads(written or b"{}").items()}
    return {}


async def _report(s3: S3, unknown: dict[str, datetime]) -> None:
    written = {key: since.isoformat() for key, since in unknown.items()}
    await s3.put_private(REPORTED, json.dumps(written, indent=0).encode(), "application/json")


async def _repair(transactions: Transactions, photo_id: int) -> None:
    """Have the photo worked on again: the worker finds the original."""
    async with transactions() as session:
        photo = await session.get_one(Photo, photo_id)
        await lock_photos(session, photo.animal_id)
        await session.refresh(photo, with_for_update={"key_share": True})
        if photo.state is PhotoState.READY:
            photo.state = PhotoState.PROCESSING
            await keep_first(session, photo.animal_id)
