"""Who may do what: every route, for every type of user."""

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.ext.asyncio import AsyncSession

from api.enums import UserType
from api.external_services.s3 import S3
from api.external_services.services import Services
from api.main import create_app
from api.settings import Settings
from tests.api.ordering import TEA, order
from tests.api.photographing import ABOUT, with_photo
from tests.api.records import make
from tests.conftest import PASSWORD, email_of, signed_in, state_of

ANYBODY, USER, KEEPER, ADMIN = "anybody", UserType.VISITOR, UserType.KEEPER, UserType.ADMIN
WHO = ["anonymous", "visitor", "keeper", "admin", "inactive", "expired"]
OTHER = "d9b1a5f0-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Case:
    """A request, who may send it, and the answer that they get."""

    least: str
    status: int
    json: Any = None
    form: dict[str, str] | None = None


CREDENTIALS = {"username": email_of("visitor"), "password": PASSWORD}
NAME = {"name": "Amara"}
MATRIX = {
    "GET /exhibits": Case(ANYBODY, 200),
    "GET /exhibits.csv": Case(ADMIN, 200),
    "POST /exhibits": Case(ADMIN, 201, NAME),
    "GET /exhibits/{exhibit_id}": Case(ANYBODY, 200),
    "PATCH /exhibits/{exhibit_id}": Case(ADMIN, 200, NAME),
    "DELETE /exhibits/{exhibit_id}": Case(ADMIN, 200),
    "POST /exhibits/{exhibit_id}/restore": Case(ADMIN, 200),
    "GET /exhibits/{exhibit_id}/animals": Case(ANYBODY, 200),
    "GET /exhibits/{exhibit_id}/staff": Case(KEEPER, 200),
    "GET /animals": Case(ANYBODY, 200),
    "GET /animals.csv": Case(ADMIN, 200),
    "POST /animals": Case(KEEPER, 201, NAME),
    "GET /animals/{animal_id}": Case(ANYBODY, 200),
    "PATCH /animals/{animal_id}": Case(KEEPER, 200, NAME),
    "DELETE /animals/{animal_id}": Case(KEEPER, 200),
    "POST /animals/{animal_id}/restore": Case(ADMIN, 200),
    "GET /animals/{animal_id}/photos": Case(ANYBODY, 200),
    "POST /animals/{animal_id}/photos": Case(KEEPER, 201, ABOUT),
    "GET /animals/{animal_id}/photos/{photo_id}": Case(ANYBODY, 200),
    "PATCH /animals/{animal_id}/photos/{photo_id}": Case(KEEPER, 200, {"alt": "Amara"}),
    "DELETE /animals/{animal_id}/photos/{photo_id}": Case(KEEPER, 204),
    "POST /animals/{animal_id}/photos/{photo_id}/complete": Case(KEEPER, 202),
    "GET /staff": Case(KEEPER, 200),
    "GET /staff.csv": Case(ADMIN, 200),
    "POST /staff": Case(ADMIN, 201, NAME),
    "GET /staff/{staff_id}": Case(KEEPER, 200),
    "PATCH /staff/{staff_id}": Case(ADMIN, 200, NAME),
    "DELETE /staff/{staff_id}": Case(ADMIN, 200),
    "POST /staff/{staff_id}/restore": Case(ADMIN, 200),
    "GET /orders": Case(USER, 200),
    "POST /orders": Case(USER, 201, {"order": [TEA]}),
    "GET /orders/{order_id}": Case(USER, 200),
    "PUT /orders/{order_id}": Case(USER, 200, {"order": [TEA]}),
    "DELETE /orders/{order_id}": Case(USER, 204),
    "POST /orders/{order_id}/pay": Case(USER, 200),
    "POST /orders/{order_id}/cancel": Case(USER, 200),
    "POST /orders/{order_id}/advance": Case(KEEPER, 409),
    "GET /orders/{order_id}/events": Case(KEEPER, 200),
    "GET /users": Case(ADMIN, 200),
    "GET /users/me": Case(USER, 200),
    "PATCH /users/me": Case(USER, 200, {}),
    "DELETE /users/me": Case(USER, 204, {"password": PASSWORD}),
    "GET /users/{user_id:uuid}": Case(ADMIN, 404),
    "PATCH /users/{user_id:uuid}": Case(ADMIN, 404, {"type": "keeper"}),
    "DELETE /users/{user_id:uuid}": Case(ADMIN, 404),
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
    "GET /docs/orders": Case(ANYBODY, 200),
    "GET /openapi.json": Case(ANYBODY, 200),
    "GET /openapi/orders.json": Case(ANYBODY, 200),
    "HEAD /openapi.json": Case(ANYBODY, 200),
}


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
        path = await existing(client, session, template)
        headers = {} if who == "anonymous" else signed_in(who)
        body = json.loads(json.dumps(case.json).replace("WHO", who))
        answers[who] = await anonymous.request(method, path, json=body, data=case.form, headers=headers)
        await state_of(anonymous).background.finish()
    assert {who: answer.status_code for who, answer in answers.items()} == {who: expected(case, who) for who in WHO}
    for who, answer in answers.items():
        if answer.status_code == 401:
            challenge = "Bearer" if who == "anonymous" else 'Bearer error="invalid_token"'
            assert answer.headers["WWW-Authenticate"] == challenge
        if answer.status_code in {401, 403}:
            assert isinstance(answer.json()["detail"], str)


async def existing(client: httpx.AsyncClient, session: AsyncSession, path: str) -> str:
    """The path, of new records."""
    for resource, parameter in (("/exhibits", "exhibit_id"), ("/animals", "animal_id"), ("/staff", "staff_id")):
        if parameter in path:
            path = path.replace(f"{{{parameter}}}", str((await make(client, resource))["id"]))
    path = path.replace("{user_id:uuid}", OTHER)
    if "{photo_id}" in path:
        path = await with_photo(client, session, path)
    if "{order_id}" in path:
        path = path.replace("/orders/{order_id}", await order(client))
    return path


@pytest.mark.parametrize("said", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}], ids=str)
async def test_with_the_cookie_no_page_of_another_site_changes_anything_by_any_route(
    anonymous: httpx.AsyncClient, said: dict[str, str]
) -> None:
    """Refused before anything else is looked at, with whatever method: the records need not exist."""
    headers = {"Cookie": "zoo-auth=admin", **said}
    methods = set()
    for route, case in MATRIX.items():
        method, _, path = route.partition(" ")
        if case.least == ANYBODY and path != "/auth/cookie/login":
            continue  # it takes no cookie
        url = re.sub(r"\{(user|order)_id(:uuid)?\}", OTHER, path)
        answer = await anonymous.request(
            method, re.sub(r"\{\w+\}", "1", url), json=case.json, data=case.form, headers=headers
        )
        if method == "GET":
            assert answer.status_code in {200, 404}, route
        else:
            methods.add(method)
            assert (answer.status_code, route) == (403, route)
            assert "another site" in answer.json()["detail"]
    assert methods == {"POST", "PUT", "PATCH", "DELETE"}
