"""What each failure of the database means to a client who orders: by a session."""

from collections.abc import Callable

import asyncpg
import httpx
import pytest

from tests.api.orders.ordering import TEA
from tests.api.test_database_errors import assert_nothing_of_it_is_in, each_code_has_its_meaning, fail_in
from tests.conftest import Log


@pytest.mark.usefixtures("own_sessions", "log")  # in text, for people, formatting an error takes a second
async def test_each_code_has_its_meaning(committing_client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    async def post(text: str) -> httpx.Response:
        return await committing_client.post("/orders", json={"order": [TEA | {"product": text}]})

    await each_code_has_its_meaning(post, admin, "order_items", "product")


async def test_the_traceback_of_a_500_has_nothing_of_what_was_to_be_stored(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, log: Callable[[], list[Log]]
) -> None:
    await fail_in(admin, "order_items")
    order = {"order": [TEA | {"product": "Secret Person"}]}
    assert (await committing_client.post("/orders", json=order)).status_code == 500
    assert_nothing_of_it_is_in(log())
