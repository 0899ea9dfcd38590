"""How many tokens of a user are good at a time, also with many sign-ins at once."""

import asyncio

import asyncpg
import httpx
import pytest

from api.crud.accounts import access_tokens, sign_ins
from tests.api.users.test_auth import sign_in, token_of
from tests.bearer import bearer
from tests.users import email_of


class TestTokens:
    async def test_of_too_many_the_oldest_ends(
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access_tokens, "MAX_TOKENS", 3)
        tokens = [await token_of(anonymous, email_of("visitor")) for _ in range(4)]
        found = [(await anonymous.get("/users/me", headers=bearer(token))).status_code for token in tokens]
        assert found == [401, 200, 200, 200]
        assert (await client.get("/users/me", headers=bearer("visitor"))).status_code == 401
        assert (await client.get("/users/me")).status_code == 200

    async def test_of_sign_ins_at_once_as_many_stay(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(access_tokens, "MAX_TOKENS", 3)
        monkeypatch.setattr(sign_ins, "MAX_KNOWN_ADDRESSES", 1)
        answers = await asyncio.gather(*(sign_in(committing_client, email_of("visitor")) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
        of_visitor = "SELECT count(*) FROM access_tokens JOIN users ON users.id = user_id WHERE email LIKE 'visitor%'"
        assert await admin.fetchval(of_visitor) == 3
        assert await admin.fetchval("SELECT count(*) FROM known_addresses") == 1
