"""The requests that are measured as tables grow, and how: by the pages of Postgres's cache that one touches.

Pages are counted by Postgres for the api's only connection, and don't depend on what else the machine does.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import psutil

from benchmarks.scale_data import COMMON, RARE, RARE_NAME
from benchmarks.scale_users import ADMIN, KEEPER, VISITOR

TIMES = 10
FLUSH_SECONDS = 1.1  # a session tells its counts once a second, when it is idle
USED = """
SELECT sum(hits + reads), array_agg(DISTINCT pid) FROM pg_stat_activity, pg_stat_get_backend_io(pid)
WHERE application_name ~ '^api@' AND datname = current_database()
"""
FLUSH = "/animals/1"
CONFLICT = 409  # the right answer to one of them


@dataclass(frozen=True)
class Request:
    """A request, and `who` sends it. `path` is completed by the meter's places, and by {made}, the id in the answer of
    the request `made`, which is sent before and not measured. `before` is SQL that makes room for it.
    """

    name: str
    method: str
    path: str
    body: Any = None
    made: "Request | None" = None
    before: str = ""
    who: str | None = None


def get(path: str, who: str | None = None) -> Request:
    """A read."""
    return Request(f"GET {path}" + (f", by {who}" if who else ""), "GET", path, who=who)


AMARA = {"name": "Amara", "species": COMMON, "exhibit_id": 1}
NEW_ANIMAL = Request("POST /animals", "POST", "/animals", AMARA, who=KEEPER)
DELETED_ANIMAL = Request("DELETE /animals/{id}", "DELETE", "/animals/{made}", None, NEW_ANIMAL, who=KEEPER)

REQUESTS = [
    get("/animals/{middle}"),
    get("/animals"),
    get("/animals?after={middle}"),
    get("/animals?offset=9900"),
    *(get(f"/animals?sort={sort}") for sort in ("name", "-name", "-created_at", "updated_at")),
    get("/animals?sort=name&after={by_name}"),
    get(f"/animals?species={COMMON}"),
    get(f"/animals?species={RARE}"),
    get(f"/animals?species={RARE}&sort=name"),
    get(f"/animals?species={COMMON}&sort=name"),
    get(f"/animals?species={COMMON}&sort=-created_at"),
    get("/animals?species=Species 7&sort=name"),
    get("/animals?exhibit_id={exhibit}"),
    get("/animals?exhibit_id={exhibit}&sort=name"),
    get(f"/animals?exhibit_id={{exhibit}}&species={RARE}"),
    get("/animals?name=Kamarati&sort=-updated_at"),
    get(f"/animals?name={RARE_NAME}"),
    get(f"/animals?q={RARE_NAME}"),
    get("/animals?q=ma"),
    get("/animals?q=zz"),
    get("/animals?q=kamarati"),
    get("/animals?q=amaratilobe"),
    get("/animals?q=ma&sort=-name"),
    get("/animals?q=zz&sort=name"),
    get("/animals?count=true"),
    get(f"/animals?species={COMMON}&count=true"),
    get(f"/animals?species={RARE}&exhibit_id={{exhibit}}&count=true"),
    get("/animals?q=ma&count=true"),
    NEW_ANIMAL,
    Request("PATCH /animals/{id}", "PATCH", "/animals/{made}", {"name": "Bahati"}, NEW_ANIMAL, who=KEEPER),
    DELETED_ANIMAL,
    Request("POST /animals/{id}/restore", "POST", "/animals/{made}/restore", None, DELETED_ANIMAL, who=ADMIN),
    get("/exhibits"),
    get("/exhibits?q=exhibit&count=true"),
    get("/exhibits/{exhibit}/animals"),
    get("/exhibits/{exhibit}/animals?sort=-name"),
    Request("DELETE /exhibits/1, which has animals", "DELETE", "/exhibits/1", who=ADMIN),
    get("/users/me", who=VISITOR),
    get("/users", who=ADMIN),
    get("/users?email=v7@zoo.example", who=ADMIN),
]


@dataclass
class Cost:
    """Of a request: pages of 8 KiB that it touches, milliseconds of Postgres's CPU, and the status if it fails."""

    pages: float
    milliseconds: float
    error: int | None = None


@dataclass
class Meter:
    """Sends requests to an api with one connection to Postgres. `places` are names for what is amid the tables."""

    client: httpx.AsyncClient
    observer: asyncpg.Connection
    places: dict[str, str]

    async def send(self, request: Request, made: str = "") -> httpx.Response:
        path = request.path.format(made=made, **self.places)
        headers = {"Authorization": f"Bearer {request.who}"} if request.who else {}
        return await self.client.request(request.method, path, json=request.body, headers=headers)

    async def make(self, request: Request) -> str:
        """Send what is sent before it; return the id in the answer, or nothing if nothing is sent before."""
        if request.made is None:
            return ""
        answer = await self.send(request.made, await self.make(request.made))
        return str(answer.json()["id"])

    async def used(self) -> tuple[int, float]:
        """Pages touched so far, and milliseconds of CPU."""
        await asyncio.sleep(FLUSH_SECONDS)
        await self.client.get(FLUSH)
        pages, pids = await self.observer.fetchrow(USED)
        times = [psutil.Process(pid).cpu_times() for pid in pids]
        return int(pages), sum(found.user + found.system for found in times) * 1000

    async def measure(self, request: Request, flushing: float, times: int = TIMES) -> Cost:
        """What a request costs; `flushing` is the pages of the request that has the counts told."""
        if request.before:
            await self.observer.execute(request.before)
        made = [await self.make(request) for _ in range(times + 1)]
        await self.send(request, made.pop())
        before = await self.used()
        for each in made:
            answer = await self.send(request, each)
        pages, milliseconds = [(now - then) / times for now, then in zip(await self.used(), before, strict=True)]
        has_failed = answer.is_error and answer.status_code != CONFLICT
        return Cost(max(0.0, pages - flushing / times), milliseconds, answer.status_code if has_failed else None)
