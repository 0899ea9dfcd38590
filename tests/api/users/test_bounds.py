"""Limits on requests to sign in, and on those that are not signed in."""

import httpx
import pytest

from api.http.route import MAX_PARAMETERS
from tests.api.test_bounds import JSON, refuses_over
from tests.conftest import Served

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "streamed"])
@pytest.mark.parametrize(("path", "headers"), [("/auth/register", JSON), ("/auth/jwt/login", FORM)])
async def test_a_body_over_its_routes_limit_is_413_and_one_of_that_size_is_read(
    anonymous: httpx.AsyncClient, path: str, headers: dict[str, str], announced: bool
) -> None:
    await refuses_over(8, anonymous, path, headers, announced=announced)


async def test_an_encoded_form_is_415(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/auth/jwt/login", content=b"{}", headers=FORM | {"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")


@pytest.mark.parametrize("path", ["/animals", "/exhibits"])
async def test_a_client_that_is_not_signed_in_is_refused_before_the_body_is_parsed(
    anonymous: httpx.AsyncClient, path: str
) -> None:
    for body in (b"{", b"[" * 60_000, b'{"a": 1, "a": 2}'):
        assert (await anonymous.post(path, content=body, headers=JSON)).status_code == 401


async def test_a_client_that_lacks_permission_does_not_learn_what_is_wrong_with_the_body(app: Served) -> None:
    assert (await app.client("visitor").post("/animals", content=b"{", headers=JSON)).status_code == 403


async def test_a_form_with_too_many_fields_is_not_read(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/auth/jwt/login", content=b"a&" * 3000, headers=FORM)
    assert answer.status_code == 400
    assert str(MAX_PARAMETERS) in answer.json()["detail"]


async def test_other_cookies_do_no_harm_however_many(app: Served) -> None:
    cookies = "; ".join(f"c{n}={n}" for n in range(3000))
    for cookie in (f"{cookies}; zoo-auth=visitor", f" zoo-auth = visitor ;{cookies}", "=;;; zoo-auth=visitor;a"):
        answer = await app.client().get("/users/me", headers={"Cookie": cookie})
        assert answer.json()["email"] == "visitor@zoo.example"
    for cookie in (cookies, "zoo-authx=visitor", "x-zoo-auth=visitor", "x=zoo-auth=visitor"):
        assert (await app.client().get("/users/me", headers={"Cookie": cookie})).status_code == 401
