"""Text in accounts."""

import httpx
import pytest

from tests.api.test_text import codes


@pytest.mark.parametrize(
    "unseen",
    ["\u200b" * 11, "\u200d" * 11, "\u3164" * 11, "\u2800" * 11, "\u0301" * 11, " " * 11, "\x01" * 11, "\ufe0f" * 11],
    ids=codes,
)
async def test_a_password_counts_what_can_be_seen(anonymous: httpx.AsyncClient, unseen: str) -> None:
    for password in (f"a{unseen}", f"{unseen}b", f"a{unseen}b"):
        answer = await anonymous.post("/auth/register", json={"email": "new@zoo.example", "password": password})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "password"])
