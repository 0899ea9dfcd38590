"""Requests at the same moment, each on its own real connection; test_locks.py has what they lock."""

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import httpx

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.records import make
from tests.conftest import serve_app
from tests.rounds import STALL

# How many sessions wait for another one's transaction: pg_locks does not say in which database.
HELD_UP = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_a_record_that_stays_locked_is_503_and_can_still_be_read(
    committing_client: httpx.AsyncClient, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET lock_timeout = '50ms'")
    animal = await make(committing_client, "/animals")
    async with admin.transaction():
        await admin.execute("SELECT FROM animals WHERE id = $1 FOR UPDATE", animal["id"])
        path = f"/animals/{animal['id']}"
        answer = await committing_client.patch(path, json={"name": "Zuri"})
        assert (await committing_client.get(path)).json() == animal
    assert answer.status_code == 503
    assert answer.json() == {"detail": "The database was busy with a conflicting change"}
    assert answer.headers["Retry-After"]
    assert (await committing_client.patch(path, json={"name": "Zuri"})).status_code == 200


async def test_a_client_has_half_of_the_connections_and_another_is_served_meanwhile(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    """Requests that only wait for a record, from one client or several, also get half at most."""
    for limit in ("lock_timeout", "statement_timeout"):  # held up until all wait
        await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET {limit} = '1min'")
    settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=8, database_pool_timeout=60)
    async with serve_app(create_app(settings)) as app, AsyncExitStack() as clients:
        one, other, neighbour = [
            await clients.enter_async_context(app.client(name, client=(address, 1)))
            for name, address in (("admin", "192.0.2.1"), ("admin", "192.0.2.2"), ("keeper", "192.0.2.1"))
        ]
        first, second = [(await make(one, "/animals"))["id"] for _ in range(2)]
        async with admin.transaction():
            await admin.execute("SELECT FROM animals WHERE id = ANY($1) FOR UPDATE", [first, second])
            changes = []
            for who, animal, waiting in ((one, first, 4), (other, first, 4), (other, second, 6)):
                changes += [
                    asyncio.create_task(who.patch(f"/animals/{animal}", json={"name": "Zuri"})) for _ in range(10)
                ]
                await until_waiting(admin, waiting)
            assert (await neighbour.get("/exhibits")).status_code == 200
        assert {answer.status_code for answer in await asyncio.gather(*changes)} == {200}


async def until_waiting(admin: asyncpg.Connection, number: int) -> None:
    """Wait until this number waits for a lock, and no more arrive."""
    seen = 0
    async with asyncio.timeout(STALL + 4):
        while seen < 20:
            await admin.execute("SELECT pg_stat_clear_snapshot()")
            found = await admin.fetchval(HELD_UP)
            assert found <= number
            seen = seen + 1 if found == number else 0
            await asyncio.sleep(0.01)
