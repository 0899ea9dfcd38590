"""The api while the database is down, or its pool is in use: 503, and then answers again, without a restart."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from api.database import engine as api_database
from api.main import create_app
from api.settings import Settings
from local.postgres import DATABASE, Server, serve
from tests.conftest import FAST_AND_FORGETFUL, WAITING, started, state_of
from tests.faults.replication import copy_of


async def test_the_api_starts_without_a_database_and_follows_it(origin: Path, tmp_path: Path, free_port: int) -> None:
    copy_of(origin, tmp_path / "data")
    by_tcp = {**FAST_AND_FORGETFUL, "listen_addresses": "127.0.0.1", "port": str(free_port)}
    app = create_app(Settings(database_url=f"postgresql://zoo_api@127.0.0.1:{free_port}/{DATABASE}"))
    async with started(app) as c:
        for _ in range(2):
            for answer in [await c.get("/animals"), await c.post("/animals", json={"name": "A"})]:
                assert answer.status_code == 503
                assert answer.json()["detail"] == "The database can't be reached"
                assert int(answer.headers["Retry-After"]) > 0
            with serve(tmp_path / "data", by_tcp):
                # Even the first request: connections from before the outage are not used.
                assert (await c.get("/animals")).status_code == 200
                assert (await c.post("/animals", json={"name": "A"})).status_code == 201
                assert (await c.get("/health/ready")).status_code == 200


async def test_while_the_database_is_down_no_request_waits_for_a_connection(free_port: int) -> None:
    app = create_app(
        Settings(
            database_url=f"postgresql://zoo_api@127.0.0.1:{free_port}/zoo",
            database_pool_size=2,
            database_pool_timeout=60,
        )
    )
    async with started(app) as c:
        for _ in range(3):
            answers = await asyncio.gather(*(c.get("/animals") for _ in range(20)))
            assert {(answer.status_code, answer.json()["detail"]) for answer in answers} == {
                (503, "The database can't be reached")
            }


async def test_a_restart_of_the_database_between_requests_fails_none(
    origin: Path, tmp_path: Path, free_port: int
) -> None:
    options = {**FAST_AND_FORGETFUL, "listen_addresses": "127.0.0.1", "port": str(free_port)}
    copy_of(origin, tmp_path / "data")
    settings = Settings(database_url=f"postgresql://zoo_api@127.0.0.1:{free_port}/{DATABASE}")
    app = create_app(settings)
    async with started(app) as c:
        with serve(tmp_path / "data", options):
            warm = await asyncio.gather(*(c.get("/animals") for _ in range(settings.database_pool_size)))
            assert {answer.status_code for answer in warm} == {200}
        with serve(tmp_path / "data", options):
            for _ in range(100):  # this test has blocked the event loop, which now reads what the server sent
                await asyncio.sleep(0)
            again = await asyncio.gather(*(c.get("/animals") for _ in range(settings.database_pool_size)))
            assert {answer.status_code for answer in again} == {200}


@asynccontextmanager
async def held_up(admin: asyncpg.Connection, client: httpx.AsyncClient, requests: int) -> AsyncIterator[None]:
    """Until the block ends, so many requests wait: for the locked table of animals, or for a connection."""
    async with admin.transaction():
        await admin.execute("LOCK TABLE animals")
        held = [asyncio.create_task(client.get("/animals")) for _ in range(requests)]
        while not await admin.fetchval(WAITING):
            await asyncio.sleep(0.01)
        yield
    assert {(await request).status_code for request in held} == {200}


async def test_a_request_that_finds_no_free_connection_waits_then_gets_503(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=1, database_pool_timeout=0.3)
    async with started(create_app(settings)) as c:
        async with held_up(admin, c, requests=1):
            refused = await c.get("/exhibits")
        assert refused.status_code == 503
        assert "busy" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        assert (await c.get("/exhibits")).status_code == 200


async def test_no_request_that_waits_for_a_connection_is_overtaken(server: Server, database: str) -> None:
    settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=2, database_pool_timeout=60)
    app = create_app(settings)
    clients, requests = 16, 40
    answered = 0
    passed_by: list[int] = []

    async def ask_again_and_again(c: httpx.AsyncClient) -> None:
        nonlocal answered
        for _ in range(requests):
            before = answered
            assert (await c.get("/animals/1")).status_code == 404
            answered += 1
            passed_by.append(answered - before)

    async with started(app) as c:
        await asyncio.gather(*(ask_again_and_again(c) for _ in range(clients)))
    assert len(passed_by) == clients * requests
    # Each other client once; more while the machine delays one of the two connections.
    assert max(passed_by) <= 4 * clients


async def test_while_ten_requests_wait_for_a_connection_the_next_gets_503_at_once(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=1, database_pool_timeout=60)
    async with started(create_app(settings)) as c:
        async with held_up(admin, c, requests=1):
            others = [asyncio.create_task(c.get("/exhibits")) for _ in range(13)]
            while sum(other.done() for other in others) < 3:
                await asyncio.sleep(0.01)
            refused = [other.result() for other in others if other.done()]
            assert {answer.status_code for answer in refused} == {503}
            assert all("busy" in answer.json()["detail"] for answer in refused)
        assert [(await other).status_code for other in others].count(200) == 10


async def test_a_replica_whose_connections_are_all_in_use_stays_ready(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=1, database_pool_timeout=60)
    async with started(create_app(settings)) as c, held_up(admin, c, requests=11):
        assert (await c.get("/exhibits")).status_code == 503
        assert (await c.get("/health/ready")).status_code == 200
        assert (await c.get("/health/db")).status_code == 200


async def test_a_statement_that_takes_too_long_is_503_and_frees_its_connection(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET statement_timeout = '100ms'")
    app = create_app(Settings(database_url=server.url("zoo_api", database), database_pool_size=1))
    async with started(app) as c:
        async with admin.transaction():
            await admin.execute("LOCK TABLE animals")
            answer = await c.get("/animals")
            assert answer.status_code == 503
            assert "taken too long" in answer.json()["detail"]
            assert answer.headers["Retry-After"]
        assert (await c.get("/animals")).status_code == 200


async def test_a_session_of_postgres_that_hangs_does_not_stay_in_the_pool(
    server: Server, database: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_database, "COMMAND_TIMEOUT", 1)
    app = create_app(Settings(database_url=server.url("zoo_api", database), database_pool_size=1))
    async with started(app) as c:
        for method, path in [("GET", "/animals"), ("PATCH", "/animals/1")]:
            session = await state_of(c).database.fetchrow("SELECT pg_backend_pid()")
            assert session is not None
            (hangs,) = session
            os.kill(hangs, signal.SIGSTOP)
            try:
                hung = await c.request(method, path, json={})
                after = [await c.request(method, path, json={}) for _ in range(3)]
            finally:
                os.kill(hangs, signal.SIGCONT)
            assert hung.status_code == 503
            assert hung.json()["detail"] == "The database can't be reached"
            assert {answer.status_code for answer in after} <= {200, 404}
            assert (await c.post("/animals", json={"name": "A"})).status_code == 201
            assert await admin.fetchval("DELETE FROM animals RETURNING name") == "A"
