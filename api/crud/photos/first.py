"""The first photo of an animal, kept with the animal: whoever reads animals needs no other table for it.

A transaction that changes which photo is the first begins with `lock_photos`, and ends with `keep_first`.
"""

import json
from functools import cache, reduce

from sqlalchemy import JSON, Text, bindparam, cast, func, or_, select, update
from sqlalchemy import literal_column as literal
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos.objects import LARGE, RENDITIONS, SMALL
from api.enums.photos import PhotoState
from api.models.animals import Animal
from api.models.photos import Photo
from api.settings import PUBLIC_URL


def _begin() -> str | None:
    url = PUBLIC_URL.get()
    return None if url is None else _in_json(url)


@cache
def _in_json(url: str) -> str:
    return json.dumps(f"{url}/{RENDITIONS}")[1:-1]


# In Postgres, because it writes lists as JSON. What is joined to null is null: there is no photo, or no storage.
_URL = bindparam("photos_url", type_=Text, callable_=_begin).concat(Animal.photo)
_PARTS = [
    literal("'{\"small\":\"'"), _URL, literal(f"'{SMALL}\",\"large\":\"'"), _URL, literal(f"'{LARGE}\",\"alt\":'"),
    cast(func.to_json(Animal.photo_alt), Text), literal("'}'"),
]  # fmt: skip
FIRST_PHOTO = cast(reduce(lambda text, part: text.concat(part), _PARTS), JSON)
"""The `photo` of an animal, as clients get it."""


async def lock_photos(session: AsyncSession, animal_id: int) -> None:
    """Let no other transaction change which photos the animal has, or in which order, until this one ends."""
    await session.execute(select(Animal.id).where(Animal.id == animal_id).with_for_update(key_share=True))


async def keep_first(session: AsyncSession, animal_id: int) -> None:
    """Store with the animal which photo is the first now."""
    ready = select(Photo).where(Photo.animal_id == animal_id, Photo.state == PhotoState.READY)
    first = ready.order_by(Photo.position, Photo.id).limit(1)
    name, alt = (first.with_only_columns(column).scalar_subquery() for column in (Photo.name, Photo.alt))
    is_another = or_(Animal.photo.is_distinct_from(name), Animal.photo_alt.is_distinct_from(alt))
    changed = update(Animal).where(Animal.id == animal_id, is_another).values(photo=name, photo_alt=alt)
    await session.execute(changed, execution_options={"synchronize_session": False})
