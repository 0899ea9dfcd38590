"""A request and its transaction: committed before the answer leaves, or not at all."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from api.crud.imports.load import load_csv
from api.crud.resources import RESOURCES
from api.database.driver import PooledConnection
from api.database.engine import create_engine, transaction
from api.dependencies import SessionDep
from api.main import create_app
from api.models.animals import Animal
from api.settings import Settings
from local.postgres import Server
from tests.api.holding import until_it_waits
from tests.api.records import make
from tests.conftest import Log, answering, state_of
from tests.users import PASSWORD


@pytest.fixture
async def live(server: Server, database: str) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The api with an engine of its own, and a client."""
    app = create_app(Settings(database_url=server.url("zoo_api", database), database_pool_size=1))
    async with answering(app) as c:
        yield app, c


@pytest.mark.usefixtures("log")  # as in production: in text, for people, formatting an error takes a second
async def test_nothing_is_saved_of_a_request_that_fails_after_a_write(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    app, client = live

    @app.post("/half-way", tags=["test"])
    async def half_way(session: SessionDep) -> None:
        session.add(Animal(name="Half"))
        await session.flush()
        raise RuntimeError

    failed = await client.post("/half-way")
    assert (failed.status_code, failed.json()) == (500, {"detail": "Internal server error"})
    assert await admin.fetchval("SELECT count(*) FROM animals") == 0
    await make(client, "/animals")  # and the pool's only connection is clean
    assert await admin.fetchval("SELECT count(*) FROM animals") == 1


async def test_a_conflict_that_is_found_at_the_commit_is_409(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    await admin.execute("ALTER TABLE animals ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED")
    _, client = live
    await make(client, "/animals", name="Amara")
    conflict = await client.post("/animals", json={"name": "Amara"})
    assert conflict.status_code == 409
    assert conflict.json()["detail"]


@pytest.mark.usefixtures("own_sessions")
async def test_a_column_whose_type_changes_fails_no_request_that_is_one_statement(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    _, client = live
    url = f"/exhibits/{(await make(client, '/exhibits'))['id']}"
    for size in (500, 600):
        for _ in range(2):
            assert (await client.get(url)).status_code == 200
            assert (await client.get("/exhibits")).status_code == 200
            assert (await client.post("/exhibits", json={"name": "Amara"})).status_code == 201
        await admin.execute(f"ALTER TABLE exhibits ALTER name TYPE varchar({size})")
    assert (await client.get(url)).status_code == 200


@pytest.mark.usefixtures("own_sessions")
async def test_a_column_whose_type_changes_fails_no_transaction_for_long(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    _, client = live
    url = f"/exhibits/{(await make(client, '/exhibits'))['id']}"
    assert (await client.patch(url, json={"name": "Amara"})).status_code == 200
    await admin.execute("ALTER TABLE exhibits ALTER name TYPE varchar(500)")
    assert (await client.patch(url, json={"name": "Bahati"})).status_code in {200, 503}
    assert (await client.patch(url, json={"name": "Chidi"})).status_code == 200


@pytest.mark.usefixtures("own_sessions")
@pytest.mark.parametrize("path", ["/animals", "/auth/register"])
async def test_a_trigger_with_a_plan_for_an_older_column_type_fails_no_request_for_long(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection, path: str
) -> None:
    """By the driver alone, and by a session. The trigger's plan lasts as long as the connection."""
    table, column = {
        "/animals": ("animals", "name"),
        "/auth/register": ("users", "hashed_password"),
    }[path]
    await admin.execute(
        f"CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN IF NEW.{column} || '' IS NULL THEN RAISE 'null'; END IF; RETURN NEW; END$$"
    )
    await admin.execute(f"CREATE TRIGGER look BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION look()")
    _, client = live

    async def post() -> tuple[int, object]:
        bodies = {
            "/animals": {"name": "Amara"},
            "/auth/register": {"email": f"{uuid4()}@visitors.example", "password": PASSWORD},
        }
        answer = await client.post(path, json=bodies[path])
        return answer.status_code, answer.json().get("detail")

    assert (await post())[0] == 201
    await admin.execute(f"ALTER TABLE {table} ALTER {column} TYPE varchar(500)")
    # SQLAlchemy's session has to prepare a statement again before the trigger is even reached.
    *stale, well = [await post() for _ in range(1, 3 if path == "/animals" else 4)]
    assert set(stale) == {(503, "The schema has changed a moment ago")}
    assert well[0] == 201


async def test_a_transaction_whose_end_is_interrupted_leaves_nothing_to_the_next_request(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    _, client = live
    connections = state_of(client).database

    async def stop_in_the_middle(reached: asyncio.Event) -> None:
        async with connections.begin() as transaction:
            await transaction.fetchrow("INSERT INTO animals (name) VALUES ('Half')")
            reached.set()
            await transaction.fetchrow("SELECT pg_sleep(60)")

    for interruptions in range(1, 4):
        reached = asyncio.Event()
        task = asyncio.create_task(stop_in_the_middle(reached))
        await reached.wait()
        await asyncio.sleep(0.05)  # so that it has been sent
        for _ in range(interruptions):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        await make(client, "/animals", name="Whole")
    assert await admin.fetch("SELECT DISTINCT name FROM animals") == [("Whole",)]


async def test_a_transaction_whose_beginning_is_interrupted_leaves_nothing_to_the_next_request(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    connections = state_of(live[1]).database

    async def begin() -> None:
        async with connections.begin():
            pass

    for steps in range(12):
        task = asyncio.create_task(begin())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await connections.fetchrow("INSERT INTO animals (name) VALUES ('Whole')")
    assert await admin.fetchval("SELECT count(*) FROM animals") == 12


@pytest.mark.usefixtures("own_sessions")
async def test_connections_that_were_closed_meanwhile_are_replaced_and_none_is_lost_to_the_pool(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    settings = Settings(
        database_url=server.url("zoo_api", database),
        database_pool_size=3,
        database_pool_timeout=60,
        database_connect_timeout=60,
    )
    async with answering(create_app(settings)) as client:
        connect = state_of(client).database.connect
        for _ in range(2):
            async with connect() as one, connect() as two, connect() as three:
                pids = [connection.get_server_pid() for connection in (one, two, three)]
            await admin.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)
            while not (one.is_closed() and two.is_closed() and three.is_closed()):
                await asyncio.sleep(0.01)
            # Through the driver, and through a session.
            answers = await asyncio.gather(*(client.get(path) for path in ["/animals", "/users/me"] * 4))
            assert {answer.status_code for answer in answers} == {200}


@pytest.mark.usefixtures("own_sessions")
async def test_pages_are_not_planned_again_for_each_request(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection
) -> None:
    await admin.execute("INSERT INTO animals (name) SELECT 'Somebody' FROM generate_series(1, 5000)")
    await admin.execute("ANALYZE animals")
    _, client = live
    await are_planned_once(client, ["/animals?", "/animals?after=10&"])


async def are_planned_once(client: httpx.AsyncClient, paths: list[str]) -> None:
    """That Postgres has one plan for each of these lists, whatever the limit."""
    tries = 5  # after which Postgres uses one plan for all values, unless it estimates a higher cost for that
    for path in paths:
        for limit in range(100, 100 - 2 * tries, -1):
            assert (await client.get(f"{path}limit={limit}")).is_success
    plans = await state_of(client).database.fetchrow(
        "SELECT count(*), array_agg(DISTINCT custom_plans), array_agg(DISTINCT generic_plans)"
        " FROM pg_prepared_statements WHERE statement LIKE 'SELECT CASE%'"
    )
    assert plans is not None
    assert tuple(plans) == (len(paths), [tries], [tries])


async def test_a_schema_of_another_release_is_503_and_the_log_has_no_personal_data(
    live: tuple[FastAPI, httpx.AsyncClient], admin: asyncpg.Connection, log: Callable[[], list[Log]]
) -> None:
    await admin.execute("ALTER TABLE exhibits RENAME COLUMN location TO place")
    _, client = live
    answer = await client.post("/exhibits", json={"name": "Secret Place", "description": "secret@zoo.example"})
    assert answer.status_code == 503
    assert "schema" in answer.json()["detail"]
    why, request = log()
    assert why["reason"].startswith(answer.json()["detail"])
    assert (request["method"], request["path"], request["status"]) == ("POST", "/exhibits", 503)
    assert "ecret" not in str(log())


async def test_an_import_may_wait_for_its_rows(server: Server, database: str, admin: asyncpg.Connection) -> None:
    class Slow(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            time.sleep(0.4)
            return super().readinto(memoryview(buffer)[:5])

    await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET idle_in_transaction_session_timeout = '300ms'")
    async with transaction(Settings(database_url=server.url("zoo_api", database))) as session:
        assert (await load_csv(session, RESOURCES["animals"], Slow(b"name\nA\nB\n"))).new == 2


@pytest.mark.usefixtures("own_sessions")
@pytest.mark.parametrize(
    ("release", "name"),
    [("1.2.3", "api@1.2.3"), ("x" * 100, "api@" + "x" * 59), ("\N{GREEK SMALL LETTER ALPHA}" * 50, None)],
    ids=["short", "long", "beyond ASCII"],
)
async def test_sessions_have_the_release_in_their_name(
    server: Server, worker_database: str, release: str, name: str | None
) -> None:
    engine = create_engine(Settings(database_url=server.url("zoo_api", worker_database), release=release))
    async with engine.connect() as connection:
        found = await connection.scalar(text("SHOW application_name"))
    await engine.dispose()
    assert found.startswith("api@") if name is None else found == name


@pytest.mark.usefixtures("own_sessions")
async def test_statements_have_names_that_no_other_connection_has_also_the_long_ones(
    server: Server, worker_database: str
) -> None:
    """So that behind a pooler no other client's can be taken for one of them."""
    engine = create_engine(Settings(database_url=server.url("zoo_api", worker_database)))
    query = f"SELECT name FROM pg_prepared_statements WHERE statement LIKE '%long' -- {'very ' * 5000}long"
    async with PooledConnection(engine) as one, PooledConnection(engine) as other:
        names = [await connection.fetchval(query) for connection in (one, other)]
    await engine.dispose()
    assert all(names)
    assert names[0] != names[1]


async def test_ten_requests_for_each_connection_may_wait_and_the_next_is_refused_at_once(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=1, database_pool_timeout=60)
    async with answering(create_app(settings)) as client:
        animal = await make(client, "/animals")
        async with admin.transaction():
            await admin.execute("SELECT FROM animals FOR UPDATE")
            changing = asyncio.create_task(client.patch(f"/animals/{animal['id']}", json={"name": "B"}))
            await until_it_waits(admin, changing)
            waiting = [asyncio.create_task(client.get("/exhibits")) for _ in range(10)]
            await asyncio.sleep(0)
            async with asyncio.timeout(30):
                refused = await client.get("/exhibits")
            assert not any(task.done() for task in waiting)
        assert (refused.status_code, refused.json()["detail"]) == (
            503, "The server is busy: no database connection was free in time",
        )  # fmt: skip
        assert {answer.status_code for answer in await asyncio.gather(changing, *waiting)} == {200}


@pytest.mark.usefixtures("own_sessions")
async def test_connections_that_could_not_be_opened_are_not_missing_later(
    server: Server, database: str, maintenance: asyncpg.Connection
) -> None:
    settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=2)
    async with answering(create_app(settings)) as client:
        await maintenance.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        for path in ["/animals", "/users/me"] * 3:  # by the driver, and by a session
            assert (await client.get(path)).status_code == 503
        await maintenance.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        for path in ["/animals", "/users/me"]:
            assert (await client.get(path)).status_code == 200
