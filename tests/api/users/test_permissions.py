"""Who may do what: every route, for the types of users on both sides of the line, and without a valid token."""

import json
import re

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from api.external_services.s3 import S3
from api.external_services.services import Services
from tests.api.cases import ANYBODY, Case
from tests.api.records import new
from tests.api.test_permissions import MATRIX, SOME_ID, filled
from tests.bearer import bearer
from tests.conftest import state_of

TYPES = ["visitor", "keeper", "admin"]  # each may do what those before it may


@pytest.fixture
def services(request: pytest.FixtureRequest, s3: S3) -> Services:
    """With a storage where it is needed: other routes are asked of the app, and the document, that other tests have."""
    case = MATRIX.get(request.node.callspec.params.get("route", ""))
    return Services(s3=s3) if case and case.needs_storage else Services()


def asking(case: Case) -> list[str]:
    """Those who ask: the last type that may not, the first that may, and the one that may do most.

    Whether a type includes another, and whether a token is good, is said in one place for all routes: for other types,
    and for tokens that have expired, it is tested elsewhere.
    """
    first = TYPES.index(case.least) if case.least != ANYBODY else len(TYPES)
    return ["anonymous", "inactive", *dict.fromkeys([*TYPES[max(first - 1, 0) : first + 1], TYPES[-1]])]


def expected(case: Case, who: str) -> int:
    """The status that they get."""
    if case.least == ANYBODY:
        return case.status
    if who not in TYPES:
        return 401
    return case.status if TYPES.index(who) >= TYPES.index(case.least) else 403


@pytest.mark.parametrize("route", MATRIX)
async def test_matrix(
    client: httpx.AsyncClient,
    anonymous: httpx.AsyncClient,
    session: AsyncSession,
    connection: AsyncConnection,
    route: str,
) -> None:
    case = MATRIX[route]
    method, _, template = route.partition(" ")
    answers = {}
    path = await filled(client, session, template)
    data = case.json if case.new is None else await new(client, case.new)
    await connection.execute(text("SAVEPOINT filled"))
    for who in asking(case):
        headers = {} if who == "anonymous" else bearer(who)
        body = json.loads(json.dumps(data).replace("WHO", who))
        answers[who] = await anonymous.request(method, path, json=body, data=case.form, headers=headers)
        await state_of(anonymous).background.finish()
        await connection.execute(text("ROLLBACK TO filled"))  # all of them ask for the same
    assert {who: answer.status_code for who, answer in answers.items()} == {who: expected(case, who) for who in answers}
    for who, answer in answers.items():
        if answer.status_code == 401:
            challenge = "Bearer" if who == "anonymous" else 'Bearer error="invalid_token"'
            assert answer.headers["WWW-Authenticate"] == challenge
            assert isinstance(answer.json()["detail"], str)
        if answer.status_code == 403:
            allowed = " or ".join(TYPES[TYPES.index(case.least) :])
            assert answer.json()["detail"] == f"Only a user of type {allowed} may do this; yours is {who}"


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
