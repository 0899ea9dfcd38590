"""What is said twice, in signing in and by who is signed in."""

import httpx
import pytest

from tests.api.test_said_twice import JSON, found
from tests.bearer import bearer
from tests.conftest import Served
from tests.users import PASSWORD, email_of


async def test_a_repeated_parameter(client: httpx.AsyncClient) -> None:
    assert found(await client.get("/users?after=1&after=2")) == ("repeated", ["query", "after"])


@pytest.mark.parametrize(("method", "path"), [("GET", "/users/me"), ("POST", "/auth/jwt/login")])
async def test_an_unknown_parameter_of_a_route_without_any(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert found(await client.request(method, f"{path}?x=1")) == ("extra_forbidden", ["query", "x"])


async def test_a_repeated_key(anonymous: httpx.AsyncClient) -> None:
    body = '{"email": "a@zoo.example", "email": "b@zoo.example", "password": "x"}'
    answer = await anonymous.post("/auth/register", content=body, headers=JSON)
    assert found(answer) == ("repeated", ["body", "email"])


@pytest.mark.parametrize("path", ["/auth/jwt/login", "/auth/cookie/login"])
async def test_a_repeated_field_of_a_form(anonymous: httpx.AsyncClient, path: str) -> None:
    for field, value in (("username", email_of("admin")), ("password", PASSWORD), ("other", "")):
        form = {"username": email_of("visitor"), "password": PASSWORD, "other": "", field: [value, value]}
        assert found(await anonymous.post(path, data=form)) == ("repeated", ["body", field])


async def test_a_repeated_session_cookie(app: Served) -> None:
    for headers in (
        [("Cookie", "zoo-auth=visitor; zoo-auth=admin")],
        [("Cookie", "zoo-auth=visitor; a=b; zoo-auth=visitor")],
        [("Cookie", "zoo-auth=visitor"), ("Cookie", "zoo-auth=admin")],
    ):
        answer = await app.client().get("/users/me", headers=headers)
        assert found(answer) == ("repeated", ["cookie", "zoo-auth"])


async def test_other_cookies_and_headers_may_occur_twice(app: Served) -> None:
    headers = [("Cookie", "a=1; zoo-auth=visitor; a=2"), ("Accept", "text/html"), ("Accept", "application/json")]
    assert (await app.client().get("/users/me", headers=headers)).status_code == 200
    # With a bearer token, the cookie is not looked at.
    both = [*bearer("visitor").items(), ("Cookie", "zoo-auth=admin; zoo-auth=admin")]
    assert (await app.client().get("/users/me", headers=both)).status_code == 200
