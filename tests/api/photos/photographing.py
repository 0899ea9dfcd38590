"""Photos of animals, for tests: made here, uploaded as a browser does, and worked on at once."""

import asyncio
from io import BytesIO
from typing import Any

import httpx
from PIL import Image
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos.work import work
from api.decoder.run import only_decoder
from api.external_services.s3 import S3
from api.settings import Settings
from local.storage import Storage
from tests.api.records import make
from tests.api.storage_proxy import StorageProxy
from tests.conftest import browser, settings_of, state_of


def photo(kind: str = "JPEG", size: tuple[int, int] = (48, 32), colour: str = "sienna", **options: Any) -> bytes:
    """A photo, left half of one colour, right half of black."""
    file, image = BytesIO(), Image.new("RGB", size, colour)
    image.paste("black", (size[0] // 2, 0, *size))
    image.save(file, kind, **options)
    return file.getvalue()


PHOTO = photo()
ABOUT = {"content_type": "image/jpeg", "size": len(PHOTO), "alt": "At the water hole"}


def settings_through(proxy: StorageProxy, storage: Storage, **settings: Any) -> Settings:
    """Those of an api that asks the storage through the proxy; what is uploaded goes to the storage itself."""
    environment = storage.environment() | {"S3_URL": proxy.url, "S3_UPLOAD_URL": storage.url}
    return settings_of(environment, **settings)


async def begin(client: httpx.AsyncClient, animal: int, data: bytes = PHOTO, **fields: Any) -> dict[str, Any]:
    """A photo that is about to be uploaded."""
    about = ABOUT | {"size": len(data)} | fields
    answer = await client.post(f"/animals/{animal}/photos", json=about)
    assert answer.status_code == 201, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


async def put(begun: dict[str, Any], data: bytes = PHOTO) -> httpx.Response:
    """Upload, as the answer says."""
    async with browser() as outside:
        return await outside.put(begun["upload"]["url"], content=data, headers=begun["upload"]["headers"])


async def upload(client: httpx.AsyncClient, animal: int, data: bytes = PHOTO, **fields: Any) -> str:
    """The path of a photo that was uploaded and completed, but not worked on."""
    begun = await begin(client, animal, data, **fields)
    assert (await put(begun, data)).status_code == 200
    path = f"/animals/{animal}/photos/{begun['id']}"
    answer = await client.post(f"{path}/complete")
    assert answer.status_code == 202, answer.text
    return path


async def work_off(client: httpx.AsyncClient) -> None:
    """Do all that is to be done with photos."""
    state = state_of(client)
    assert state.services.s3 is not None
    while True:
        with only_decoder() as lock:
            if lock is not None:
                while await work(state.sessionmaker.begin, state.services.s3, lock):
                    pass
                return
        await asyncio.sleep(0.05)  # another test's


async def listed(client: httpx.AsyncClient, animal: int | None = None, **fields: Any) -> dict[str, Any]:
    """A photo that is ready, of a new animal."""
    path = await upload(client, animal or (await make(client, "/animals"))["id"], **fields)
    await work_off(client)
    read: dict[str, Any] = (await client.get(path)).json()
    assert read["state"] == "ready", read
    return read


async def keys(s3: S3) -> set[str]:
    """All objects."""
    return {stored.key async for stored in s3.objects("")} | {stored.key async for stored in s3.public_objects("")}


async def get(url: str) -> httpx.Response:
    """What anybody gets."""
    async with browser() as outside:
        return await outside.get(url)


async def with_photo(client: httpx.AsyncClient, session: AsyncSession, path: str) -> str:
    """The path with the id of a photo that the request can be about: one that can be read, or completed."""
    begun = await begin(client, int(path.split("/")[2]))
    if path.endswith("/complete"):
        await put(begun)
    else:
        await session.execute(text("UPDATE photos SET state = 'ready', etag = '1', width = 1, height = 1"))
        await session.commit()
    return path.replace("{photo_id}", str(begun["id"]))
