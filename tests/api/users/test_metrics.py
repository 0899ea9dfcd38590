"""What is counted of signing in."""

import httpx
import pytest

from api.crud.accounts import sign_ins
from tests.api.test_metrics import count


async def test_a_refusal_for_a_limit_is_counted(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_ins, "MAX_FAILURES_ON_AN_ACCOUNT_AT_AN_ADDRESS", 1)
    before = count("refusals_total", cause="limit")
    form = {"username": "nobody@zoo.example", "password": "wrong"}
    answers = [await client.post("/auth/jwt/login", data=form) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 429, 429]
    assert count("refusals_total", cause="limit") - before == 2
