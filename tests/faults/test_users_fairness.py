"""Clients that ask for more than their share, by signing in again and again."""

import statistics
import time
from collections import Counter
from collections.abc import Callable

import asyncpg
import httpx
import pytest

from tests.faults.test_fairness import crowd, port
from tests.rounds import rounds
from tests.users import PASSWORD, REAL_HASHER, email_of

__all__ = ["port"]  # a fixture

ACCOUNTS, AT_ONCE = 8, rounds(quick=4, full=10)
# How many sign-ins of the crowd are answered at most while a ninth account signs in: those hashed before it, and those
# during its two turns at the database.
BEFORE_IT = 3 * ACCOUNTS
REFUSED = rounds(quick=2, full=0)  # of its tries, on a machine that is so busy that its turn does not come in 2 s


def signed_in_among(answers: list[httpx.Response]) -> list[httpx.Response]:
    return [answer for answer in answers if answer.status_code == 200]


@pytest.mark.parametrize("at", ["one address", "an address each"])
async def test_sign_ins_of_eight_accounts_delay_a_ninth_by_about_eight_hashes(
    port: int, admin: asyncpg.Connection, at: str, record_property: Callable[[str, object], None]
) -> None:
    hashed = REAL_HASHER.hash(PASSWORD)
    await admin.executemany(
        "INSERT INTO users (id, email, hashed_password, type) VALUES (gen_random_uuid(), $1, $2, 'visitor')",
        [(email_of(f"v{number}"), hashed) for number in range(ACCOUNTS + 1)],
    )
    turn = iter(range(1_000_000))

    async def sign_in(client: httpx.AsyncClient, number: int | None = None) -> httpx.Response:
        account = next(turn) % ACCOUNTS if number is None else number
        headers = {} if at == "one address" else {"X-Forwarded-For": f"192.0.2.{account}"}
        form = {"username": email_of(f"v{account}"), "password": PASSWORD}
        return await client.post("/auth/jwt/login", data=form, headers=headers)

    statuses, before_it, took = Counter[int](), [], []
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=False) as client,
        crowd(port, ACCOUNTS * AT_ONCE, sign_in) as answers,
    ):
        for _ in range(rounds(quick=1, full=20)):
            while True:
                began, before = time.monotonic(), len(signed_in_among(answers))
                ninth = await sign_in(client, ACCOUNTS)
                statuses[ninth.status_code] += 1
                if ninth.status_code != 503 or statuses[503] > REFUSED:
                    break
            before_it.append(len(signed_in_among(answers)) - before)
            took.append(time.monotonic() - began)
    each = sum(took) / max(1, sum(before_it))
    record_property(
        "measured",
        f"while the ninth signs in, {statistics.median(before_it):.0f} others do, {max(before_it)} at most, one per"
        f" {each:.2f} s; crowd {dict(Counter(answer.status_code for answer in answers))}",
    )
    assert {200} <= statuses.keys() <= {200, 503}
    assert statuses[503] <= REFUSED
    assert max(before_it) <= BEFORE_IT
    assert {answer.status_code for answer in answers} <= {200, 429, 503}
