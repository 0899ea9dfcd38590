"""Pages of orders, by the plans that prepared statements have in the long run."""

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from api.crud.accounts.access_tokens import Caller
from api.crud.orders import reads
from api.enums.users import UserType
from api.schemas.orders import OrderQuery
from tests.api.recorder import Recorder
from tests.api.test_database import are_planned_once, live
from tests.api.test_plans import PAGE_AND_ONE_MORE, rows_read

__all__ = ["live"]  # a fixture


async def test_a_page_of_a_users_orders_reads_no_more_than_it_has(admin: asyncpg.Connection) -> None:
    user_id = await admin.fetchval("SELECT id FROM users WHERE email = 'visitor@zoo.example'")
    await admin.execute(
        "INSERT INTO users (id, email, hashed_password) SELECT uuidv7(), 'v' || n, '' FROM generate_series(1, 100) n"
    )
    await admin.execute("INSERT INTO orders (id, user_id) SELECT uuidv7(), $1 FROM generate_series(1, 2000)", user_id)
    await admin.execute("INSERT INTO orders (id, user_id) SELECT uuidv7(), id FROM users, generate_series(1, 20)")
    await admin.execute("VACUUM ANALYZE orders, users")
    recorder = Recorder(admin)
    await reads.list_page(recorder, Caller(user_id, UserType.VISITOR), OrderQuery())
    assert await rows_read(admin, *recorder.sent[0]) <= PAGE_AND_ONE_MORE


@pytest.mark.usefixtures("own_sessions")
async def test_pages_are_not_planned_again_for_each_request(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "INSERT INTO orders (id, user_id) SELECT uuidv7(), users.id FROM users, generate_series(1, 5000)"
    )
    await admin.execute("ANALYZE orders")
    _, client = live
    await are_planned_once(client, ["/orders?"])
