"""Text in accounts."""

import httpx

from tests.api.test_text import codes

UNSEEN = ["\u200b", "\u200d", "\u3164", "\u2800", "\u0301", " ", "\x01", "\ufe0f"]


async def test_a_password_counts_what_can_be_seen(anonymous: httpx.AsyncClient) -> None:
    for unseen in UNSEEN:
        body = {"email": "new@zoo.example", "password": f"a{unseen * 11}b"}
        answer = await anonymous.post("/auth/register", json=body)
        assert (answer.status_code, codes(unseen)) == (422, codes(unseen))
        assert answer.json()["detail"][0]["loc"] == ["body", "password"]
