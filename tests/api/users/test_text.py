"""Text in accounts."""

import httpx

from tests.api.test_text import codes

UNSEEN = ["\u200b", "\u200d", "\u3164", "\u2800", "\u0301", " ", "\x01", "\ufe0f"]


async def test_a_password_counts_what_can_be_seen(anonymous: httpx.AsyncClient) -> None:
    for unseen in UNSEEN:
        for password in (f"a{unseen * 11}b", f"{unseen}{'x' * 11}{unseen}"):
            answer = await anonymous.post("/auth/register", json={"email": "new@zoo.example", "password": password})
            assert (answer.status_code, codes(password)) == (422, codes(password))
            assert answer.json()["detail"][0]["loc"] == ["body", "password"]
