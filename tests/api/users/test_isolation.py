"""Signing in does not depend on defaults of the database, or of its role."""

import asyncio

import asyncpg
import pytest

from local.postgres import Server
from tests.api.test_isolation import api, set_by_default
from tests.users import PASSWORD, email_of


@pytest.mark.usefixtures("own_sessions")  # a pooler with these is refused: tests/faults/test_pooler.py
async def test_sign_ins_of_one_user_at_once_all_succeed(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await set_by_default(admin, database, default_transaction_isolation="serializable")
    form = {"username": email_of("keeper"), "password": PASSWORD}
    async with api(server, database) as client:
        answers = await asyncio.gather(*(client.post("/auth/jwt/login", data=form) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
