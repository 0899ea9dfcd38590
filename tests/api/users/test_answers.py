"""Answers with what is somebody's, or a secret."""

import httpx

from api.http.compression import LEAST_BYTES
from tests.users import PASSWORD, email_of

ASKED = {"Accept-Encoding": "gzip"}


async def test_what_is_personal_must_not_be_stored(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    form = {"username": email_of("visitor"), "password": PASSWORD}
    for answer in (
        await client.get("/users/me"),
        await client.get("/users"),
        await client.head("/users/me"),
        await anonymous.get("/users/me"),
        await anonymous.post("/auth/jwt/login", data=form),
        await anonymous.post("/auth/cookie/login", data=form),
        await anonymous.post("/auth/register", json={"email": "new@zoo.example", "password": PASSWORD}),
        await anonymous.post("/auth/jwt/login", data={**form, "password": "wrong"}),
    ):
        assert answer.headers.get_list("Cache-Control") == ["no-store"], answer.request.url


async def test_an_answer_with_secrets_is_not_compressed(anonymous: httpx.AsyncClient) -> None:
    long = await anonymous.post("/auth/register", json={f"{'x' * 90}{n}": 1 for n in range(8)}, headers=ASKED)
    assert len(long.content) > LEAST_BYTES
    assert not long.headers.keys() & {"content-encoding", "vary"}
