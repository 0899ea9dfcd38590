"""What can be asked for: every route, with a request that is answered."""

from importlib import import_module
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.ext.asyncio import AsyncSession

from api.enums.users import UserType
from api.main import create_app
from api.settings import Settings
from tests.api.cases import ADMIN, ANYBODY, Case, Fill
from tests.api.records import RESOURCES, Resource, make

SOME_ID = "d9b1a5f0-0000-7000-8000-000000000000"


def cases_of(resource: Resource) -> dict[str, Case]:
    """Those of its records."""
    found, word = resource.api, resource.api.word
    path, record = f"/{found.name}", f"/{found.name}/{{{word}_id}}"
    read, write = ANYBODY if found.readers is None else found.readers, found.writers
    cases = {
        f"GET {path}": Case(read, 200),
        f"GET {path}.csv": Case(ADMIN, 200),
        f"POST {path}": Case(write, 201, new=resource),
        f"GET {record}": Case(read, 200),
        f"PATCH {record}": Case(write, 200, resource.change()),
        f"DELETE {record}": Case(write, 200),
        f"POST {record}/restore": Case(ADMIN, 200),
    }
    for children in found.children:
        if children.is_only:
            both = {None if of.readers is None else UserType(of.readers) for of in (found, children.resource)} - {None}
            strictest = next((type_ for type_ in reversed(UserType) if type_ in both), ANYBODY)
            cases[f"GET {record}/{children.resource.name}"] = Case(strictest, 200)
    return cases


PARTS = [
    import_module(f"tests.api.{path.parent.name}.cases") for path in sorted(Path(__file__).parent.glob("*/cases.py"))
]
MATRIX = {
    "GET /health": Case(ANYBODY, 200),
    "GET /health/db": Case(ANYBODY, 200),
    "GET /health/ready": Case(ANYBODY, 200),
    "GET /": Case(ANYBODY, 307),
    "GET /docs": Case(ANYBODY, 200),
    "GET /favicon.ico": Case(ANYBODY, 200),
    "GET /openapi.json": Case(ANYBODY, 200),
}
for cases in (*map(cases_of, RESOURCES), *(part.CASES for part in PARTS)):
    MATRIX |= cases
FILLS: list[Fill] = [part.fill for part in PARTS]


async def filled(client: httpx.AsyncClient, session: AsyncSession, path: str) -> str:
    """The path with the ids of records that the request can be about."""
    for fill in FILLS:
        path = await fill(client, session, path)
    for resource in RESOURCES:
        parameter = f"{{{resource.api.word}_id}}"
        if parameter in path:
            path = path.replace(parameter, str((await make(client, resource.path))["id"]))
    if path.endswith("/restore"):
        await client.delete(path.removesuffix("/restore"))
    return path


def routes_of(app: FastAPI) -> set[str]:
    contexts = [context for context in iter_route_contexts(app.routes) if context.methods]
    return {f"{method} {context.path}" for context in contexts for method in context.methods or ()}


def test_every_route_is_in_the_matrix() -> None:
    assert routes_of(create_app(Settings())) == MATRIX.keys()
