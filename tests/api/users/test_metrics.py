"""What is counted of signing in."""

import httpx

from tests.api.test_metrics import count


async def test_a_refusal_for_a_limit_is_counted(client: httpx.AsyncClient) -> None:
    before = count("refusals_total", cause="limit")
    form = {"username": "nobody@zoo.example", "password": "wrong"}
    answers = [await client.post("/auth/jwt/login", data=form) for _ in range(12)]
    refused = sum(answer.status_code == 429 for answer in answers)
    assert refused
    assert count("refusals_total", cause="limit") - before == refused
