"""Who may do what: every route, for every type of user."""

import json
import re
from importlib import import_module
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.ext.asyncio import AsyncSession

from api.enums.users import UserType
from api.external_services.s3 import S3
from api.external_services.services import Services
from api.main import create_app
from api.settings import Settings
from tests.api.cases import ADMIN, ANYBODY, USER, Case, Fill
from tests.api.records import RESOURCES, Resource, make, new
from tests.conftest import PASSWORD, email_of, signed_in, state_of

WHO = ["anonymous", "visitor", "keeper", "admin", "inactive", "expired"]
SOME_ID = "d9b1a5f0-0000-7000-8000-000000000000"
CREDENTIALS = {"username": email_of("visitor"), "password": PASSWORD}


def cases_of(resource: Resource) -> dict[str, Case]:
    """Those of its records, as api/crud/resources.py says who may do it."""
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
    "POST /auth/register": Case(ANYBODY, 201, {"email": "WHO@new.example", "password": PASSWORD}),
    "POST /auth/jwt/login": Case(ANYBODY, 200, form=CREDENTIALS),
    "POST /auth/jwt/logout": Case(USER, 204),
    "POST /auth/cookie/login": Case(ANYBODY, 204, form=CREDENTIALS),
    "POST /auth/cookie/logout": Case(USER, 204),
    "POST /auth/forgot-password": Case(ANYBODY, 202, {"email": "WHO@nowhere.example"}),
    "POST /auth/reset-password": Case(ANYBODY, 400, {"token": "none", "password": PASSWORD}),
    "POST /auth/request-verify-token": Case(ANYBODY, 202, {"email": "WHO@nowhere.example"}),
    "POST /auth/verify": Case(ANYBODY, 400, {"token": "none"}),
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


@pytest.fixture
def services(s3: S3) -> Services:
    return Services(s3=s3)


def routes_of(app: FastAPI) -> set[str]:
    contexts = [context for context in iter_route_contexts(app.routes) if context.methods]
    return {f"{method} {context.path}" for context in contexts for method in context.methods or ()}


def test_every_route_is_in_the_matrix() -> None:
    assert routes_of(create_app(Settings())) == MATRIX.keys()


def expected(case: Case, who: str) -> int:
    """The status that they get."""
    if case.least == ANYBODY:
        return case.status
    if who not in list(UserType):
        return 401
    return case.status if UserType(who).includes(UserType(case.least)) else 403


@pytest.mark.parametrize("route", MATRIX)
async def test_matrix(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, session: AsyncSession, route: str
) -> None:
    case = MATRIX[route]
    method, _, template = route.partition(" ")
    answers = {}
    for who in WHO:
        path = await filled(client, session, template)
        headers = {} if who == "anonymous" else signed_in(who)
        data = case.json if case.new is None else await new(client, case.new)
        body = json.loads(json.dumps(data).replace("WHO", who))
        answers[who] = await anonymous.request(method, path, json=body, data=case.form, headers=headers)
        await state_of(anonymous).background.finish()
    assert {who: answer.status_code for who, answer in answers.items()} == {who: expected(case, who) for who in WHO}
    for who, answer in answers.items():
        if answer.status_code == 401:
            challenge = "Bearer" if who == "anonymous" else 'Bearer error="invalid_token"'
            assert answer.headers["WWW-Authenticate"] == challenge
        if answer.status_code in {401, 403}:
            assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("said", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
async def test_with_the_cookie_no_page_of_another_site_changes_anything_by_any_route(
    anonymous: httpx.AsyncClient, said: dict[str, str]
) -> None:
    """Refused before anything else is looked at, with whatever method: the records need not exist, nor ids be valid."""
    headers = {"Cookie": "zoo-auth=admin", **said}
    methods = set()
    for route, case in MATRIX.items():
        method, _, path = route.partition(" ")
        if case.least == ANYBODY and path != "/auth/cookie/login":
            continue  # it takes no cookie
        url = re.sub(r"\{\w+\}", "1", re.sub(r"\{\w+:uuid\}", SOME_ID, path))
        answer = await anonymous.request(method, url, json=case.json, data=case.form, headers=headers)
        if method == "GET":
            assert answer.status_code in {200, 404, 422}, route
        else:
            methods.add(method)
            assert (answer.status_code, route) == (403, route)
            assert "another site" in answer.json()["detail"]
    assert methods >= {"POST", "PATCH", "DELETE"}
