"""Who may do what with photos."""

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from tests.api.cases import ANYBODY, KEEPER, Case, Cases
from tests.api.photos.photographing import ABOUT, with_photo
from tests.api.records import make

PHOTOS = "/animals/{animal_id}/photos"
CASES: Cases = {
    f"GET {PHOTOS}": Case(ANYBODY, 200, needs_storage=True),
    f"POST {PHOTOS}": Case(KEEPER, 201, ABOUT, needs_storage=True),
    f"GET {PHOTOS}/{{photo_id}}": Case(ANYBODY, 200, needs_storage=True),
    f"PATCH {PHOTOS}/{{photo_id}}": Case(KEEPER, 200, {"alt": "Amara"}, needs_storage=True),
    f"DELETE {PHOTOS}/{{photo_id}}": Case(KEEPER, 204, needs_storage=True),
    f"POST {PHOTOS}/{{photo_id}}/complete": Case(KEEPER, 202, needs_storage=True),
}


async def fill(client: httpx.AsyncClient, session: AsyncSession, path: str) -> str:
    if "{photo_id}" not in path:
        return path
    return await with_photo(client, session, path.replace("{animal_id}", str((await make(client, "/animals"))["id"])))
