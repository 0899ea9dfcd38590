"""Photos from a folder, whose files are named after their animals: uploaded, approved and worked on as all others are.

Wherever it is interrupted, it continues when it is done again: a photo that an animal has is left out.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos import quotas, uploads
from api.crud.photos.first import lock_photos
from api.crud.photos.objects import upload_key
from api.crud.photos.reads import photos_of
from api.crud.photos.work import work
from api.crud.records import live
from api.database.engine import Transactions
from api.decoder.run import only_decoder
from api.enums.photos import PhotoState
from api.errors import ZooError
from api.external_services.s3 import S3
from api.models.animals import Animal
from api.models.photos import Photo
from api.schemas.photos import MAX_SIZE
from api.schemas.text import normal_form

TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
NUMBER = re.compile(r"[ _-]*\d+\Z")
WAIT_SECONDS = 0.2  # for another decoder on this machine


@dataclass(frozen=True)
class Named:
    """A file, and the animal that it shows."""

    path: Path
    animal_id: int
    alt: str


async def find(session: AsyncSession, paths: Iterable[Path]) -> tuple[list[Named], list[str]]:
    """The photos among the files, and a sentence for each that can't be taken.

    A file is named after an animal, or its id; a number after the name tells several photos apart.
    """
    found, refused = [], []
    animals = (await session.execute(live(Animal).with_only_columns(Animal.id, Animal.name))).all()
    by_name: dict[str, list[int]] = {}
    for animal_id, name in animals:
        by_name.setdefault(name.casefold(), []).append(animal_id)
    names = dict(animals)
    for path in sorted(path for path in paths if path.suffix.lower() in TYPES):
        ids = _ids(path.stem, by_name, names)
        if path.stat().st_size > MAX_SIZE:
            refused.append(f"{path.name}: it has over {MAX_SIZE:,} bytes")
        elif len(ids) == 1:
            found.append(Named(path, ids[0], names[ids[0]]))
        elif ids:
            refused.append(f"{path.name}: {len(ids)} animals are named so: name it after an id, {ids[0]}.jpg")
        else:
            refused.append(f"{path.name}: no animal is named so")
    return found, refused


def _ids(stem: str, by_name: dict[str, list[int]], names: dict[int, str]) -> list[int]:
    try:
        name = normal_form(stem).casefold()
    except ValueError:  # no animal can have such a name
        return []
    if name.isdecimal() and int(name) in names:
        return [int(name)]
    return by_name.get(name) or by_name.get(NUMBER.sub("", name), [])


async def import_photos(transactions: Transactions, s3: S3, files: Iterable[Named]) -> list[str]:
    """Take in the files; a sentence for each that can't be shown."""
    begun: dict[int, Named] = {}
    refused = []
    for file in files:
        try:
            photo_id = await _upload(transactions, s3, file)
        except ZooError as error:
            if error.status >= 500:  # noqa: PLR2004 - the storage's or the database's, and so that of all others
                raise
            refused.append(f"{file.path.name}: {error.detail}")
            continue
        begun[photo_id] = file
    failed = await _worked_off(transactions, s3, list(begun))
    return refused + [f"{file.path.name}: {failed[photo_id]}" for photo_id, file in begun.items() if photo_id in failed]


async def _upload(transactions: Transactions, s3: S3, file: Named) -> int:
    """The photo, uploaded and approved; if the animal has it, that one."""
    data = await asyncio.to_thread(file.path.read_bytes)
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()  # S3's own, unless the bucket encrypts
    async with transactions() as session:
        await lock_photos(session, file.animal_id)
        there = photos_of(file.animal_id).where(Photo.etag == f'"{etag}"', Photo.state != PhotoState.FAILED)
        found: int | None = await session.scalar(there.with_only_columns(Photo.id))
        if found is not None:
            return found
        photo = Photo(
            animal_id=file.animal_id,
            upload=token_hex(uploads.NAME_BYTES),
            name=token_hex(uploads.NAME_BYTES),
            content_type=TYPES[file.path.suffix.lower()],
            size=len(data),
            alt=file.alt,
            position=await quotas.require_place(session, file.animal_id),
        )
        session.add(photo)
    await s3.put_private(upload_key(photo), data, photo.content_type)
    await uploads.complete(transactions, s3, photo.animal_id, photo.id)
    return photo.id


async def _worked_off(transactions: Transactions, s3: S3, photo_ids: list[int]) -> dict[int, str]:
    """Work on photos, beside the api's own workers, until all of these are done; why some have failed."""
    while True:
        with only_decoder() as lock:
            while lock is not None and await work(transactions, s3, lock):
                pass
        async with transactions() as session:
            mine = select(Photo.id, Photo.state, Photo.reason).where(Photo.id.in_(photo_ids))
            states = (await session.execute(mine)).all()
        if all(state is not PhotoState.PROCESSING for _, state, _ in states):
            return {photo_id: reason for photo_id, _, reason in states if reason is not None}
        await asyncio.sleep(WAIT_SECONDS)
