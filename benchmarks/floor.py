"""The floor: the animals' routes on a bare ASGI app, with the driver's own pool and orjson, without validation.

On the same tables as the api, with the same answers. It shows the best that Python can do on this server, not how to
write an api.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import orjson

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

COLUMNS = "id, created_at, updated_at, deleted_at, name, description, species, exhibit_id, photo, photo_alt"
PHOTOS_URL = "https://photos.zoo.example/photos"
GET_ONE = f"SELECT {COLUMNS} FROM animals WHERE id = $1 AND deleted_at IS NULL"
GET_PAGE = f"SELECT {COLUMNS} FROM animals WHERE deleted_at IS NULL ORDER BY id LIMIT $1"
POST = f"INSERT INTO animals (name, description, species, exhibit_id) VALUES ($1, $2, $3, $4) RETURNING {COLUMNS}"
IS_KEEPER = (
    "SELECT true FROM access_tokens JOIN users ON users.id = user_id WHERE token = $1 AND is_active"
    " AND type IN ('keeper', 'admin') AND access_tokens.created_at > statement_timestamp() - interval '1 day'"
)

pool: asyncpg.Pool


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """GET /animals/{id}, GET /animals?limit=N and POST /animals."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["method"] == "POST":
        await create_animal(scope, receive, send)
    elif scope["path"] == "/animals":
        limit = int(parse_qs(scope["query_string"].decode())["limit"][0])
        await answer(send, 200, [animal(row) for row in await pool.fetch(GET_PAGE, limit)])
    else:
        row = await pool.fetchrow(GET_ONE, int(scope["path"].removeprefix("/animals/")))
        await answer(send, 200, animal(row)) if row else await answer(send, 404, {"detail": "Not found"})


def animal(row: asyncpg.Record) -> dict[str, Any]:
    """The answer of a row."""
    found = dict(row)
    alt = found.pop("photo_alt")
    if found["photo"]:
        url = f"{PHOTOS_URL}/{found['photo']}"
        found["photo"] = {"small": f"{url}-320.webp", "large": f"{url}-1280.webp", "alt": alt}
    return found


async def lifespan(receive: Receive, send: Send) -> None:
    """The pool, from the app's start to its end."""
    global pool
    await receive()
    # Full from the start, and of asyncpg's default size.
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10, reset=leave) as pool:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def leave(_: asyncpg.Connection) -> None:
    """Return a connection without asyncpg's reset, which costs a round trip: these statements set nothing."""


async def create_animal(scope: Message, receive: Receive, send: Send) -> None:
    """Create an animal, if a keeper is signed in."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    token = dict(scope["headers"]).get(b"authorization", b"").removeprefix(b"Bearer ")
    async with pool.acquire() as connection:
        if not await connection.fetchval(IS_KEEPER, hashlib.sha256(token).hexdigest()):
            await answer(send, 401, {"detail": "Sign in first"})
            return
        data = orjson.loads(body)
        values = (data["name"], data.get("description"), data.get("species"), data.get("exhibit_id"))
        row = await connection.fetchrow(POST, *values)
    await answer(send, 201, animal(row))


async def answer(send: Send, status: int, content: object) -> None:
    """Send `content` as JSON."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
