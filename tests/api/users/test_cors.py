"""CORS and the cookie."""

import httpx

from tests.api.test_cors import OTHERS, is_let_in, page, with_origins
from tests.users import PASSWORD, email_of

__all__ = ["page", "with_origins"]  # fixtures


async def test_a_listed_page_may_use_the_cookie_and_no_other(page: httpx.AsyncClient) -> None:
    form = {"username": email_of("keeper"), "password": PASSWORD}
    site = {"Sec-Fetch-Site": "same-site"}
    assert (await page.post("/auth/cookie/login", data=form, headers={"Origin": OTHERS, **site})).status_code == 403
    assert (await page.post("/auth/cookie/login", data=form, headers=site)).status_code == 204
    assert (await page.post("/animals", json={"name": "Amara"}, headers=site)).status_code == 201
    refused = await page.post("/animals", json={"name": "Amara"}, headers={"Origin": OTHERS, **site})
    assert refused.status_code == 403


async def test_a_listed_page_may_read_that_nobody_is_signed_in(page: httpx.AsyncClient) -> None:
    answer = await page.get("/animals.csv")
    assert (answer.status_code, is_let_in(answer)) == (401, True)
