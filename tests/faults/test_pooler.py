"""The api behind a PgBouncer in transaction mode; and behind one that can't keep prepared statements apart."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from api.main import create_app
from api.settings import Settings
from local.postgres import DATABASE, Server, serve
from tests.api.test_isolation import set_by_default
from tests.bearer import bearer
from tests.conftest import FAST_AND_FORGETFUL, POOLER_PORT, ROOT, Log, started
from tests.faults.replication import copy_of
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.processes.pgbouncer import Pgbouncer, newest, pgbouncer, too_old
from tests.python import HANGS
from tests.rounds import STALL, rounds

# Those that really commit; the others run in one transaction each, and so in one session.
OWN_TESTS = rounds(quick=["test_database.py", "test_idempotency.py", "test_imports.py", "test_workers.py"], full=["."])
REQUESTS = rounds(quick=600, full=20_000)
AT_ONCE = 20
BUSY = 60  # seconds that a busy machine may take
BACK_WITHIN = 3 + STALL  # seconds, of which the pooler waits one, and the api another
LOCKS = (
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
    " WHERE locktype = 'advisory' AND datname = current_database()"
)
SET_BY_PGBOUNCER = {"application_name", "client_encoding"}  # anew for each client
NEEDS = "it needs PgBouncer 1.21 or later, with pool_mode = transaction and max_prepared_statements = 200"
UNFIT: dict[str, tuple[Callable[[], str], dict[str, object]]] = {
    "without prepared statements": (newest, {"max_prepared_statements": 0}),
    "too old": (too_old, {}),
    "session mode": (newest, {"pool_mode": "session"}),
    "statement mode": (newest, {"pool_mode": "statement"}),
}


def of_the_stack() -> dict[str, str]:
    """The settings of the stack's own pooler, but for those that say where it listens and who may come in."""
    ini = (ROOT / "deploy" / "pgbouncer" / "entrypoint.sh").read_text().partition("[pgbouncer]")[2]
    found = dict(re.findall(r"^(\w+) = (\w+)$", ini, re.MULTILINE))
    assert "pool_mode" in found
    return {name: value for name, value in found.items() if not name.startswith(("listen_", "auth_", "admin_"))}


@pytest.fixture
async def pooler(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pgbouncer]:
    """One with fewer connections than the api has, so that they change hands all the time."""
    async with pgbouncer(server, tmp_path_factory.mktemp("pgbouncer"), default_pool_size=3) as pooler:
        yield pooler


@pytest.fixture
def settings(pooler: Pgbouncer, database: str) -> Settings:
    return Settings(
        database_url=pooler.url("zoo_api", database),
        database_pool_timeout=BUSY,
        database_connect_timeout=BUSY,
    )


async def test_the_apis_own_tests_pass(server: Server, tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    async with pgbouncer(server, tmp_path, default_pool_size=50, max_client_conn=1000) as pooler:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "pytest", "--quiet", *(f"tests/api/{name}" for name in OWN_TESTS)],
            cwd=ROOT, env={**outside, POOLER_PORT: str(pooler.port)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


async def test_under_load_each_request_gets_its_own_answer_whatever_happens_to_others(
    server: Server, pooler: Pgbouncer, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    """Some clients don't wait for their answers; and another client of the pooler has statements of its own."""
    await admin.execute("INSERT INTO animals (name) SELECT 'A' || i FROM generate_series(1, 100) i")
    settings = {
        **server.environment(database),
        "DATABASE_URL": pooler.url("zoo_api", database),
        "DATABASE_POOL_TIMEOUT": str(BUSY),
        "DATABASE_CONNECT_TIMEOUT": str(BUSY),
    }
    port = find_free_port()
    statuses: Counter[int | str] = Counter()

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        id_ = number % 100 + 1
        if number % 10 == 0:  # one gives up, at some moment of its request
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /animals?limit=100 HTTP/1.1\r\nHost: zoo\r\n\r\n")
            await asyncio.sleep(number % 7 / 1000)
            writer.transport.abort()
            statuses["gave up"] += 1
        elif number % 10 == 1:
            answer = await client.patch(f"/animals/{id_}", json={"species": f"S{number}"}, headers=bearer("keeper"))
            assert answer.json()["species"] == f"S{number}"
            statuses[answer.status_code] += 1
        else:
            answer = await client.get(f"/animals/{id_}")
            assert answer.json()["name"] == f"A{id_}"
            statuses[answer.status_code] += 1

    async def be_another() -> None:
        other = await asyncpg.connect(pooler.url("zoo_api", database), statement_cache_size=10)
        try:
            for number in range(10**9):
                assert await other.fetchval(f"SELECT {number % 20} + $1::int", number) == number % 20 + number
        finally:
            other.terminate()

    with gunicorn(settings, port, tmp_path / "api.log"):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            another = asyncio.create_task(be_another())
            for first in range(0, REQUESTS, AT_ONCE):
                await asyncio.gather(*(ask(client, number) for number in range(first, first + AT_ONCE)))
            assert not another.done()
            another.cancel()
    assert statuses == {200: REQUESTS * 9 // 10, "gave up": REQUESTS // 10}


async def test_a_statement_that_takes_too_long_is_503_and_the_next_request_is_served(
    settings: Settings, admin: asyncpg.Connection, database: str
) -> None:
    await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET statement_timeout = '200ms'")
    async with started(create_app(settings)) as client:
        async with admin.transaction():
            await admin.execute("LOCK TABLE animals")
            answers = await asyncio.gather(*(client.get("/animals") for _ in range(3)))
        assert {answer.status_code for answer in answers} == {503}
        assert all("taken too long" in answer.json()["detail"] for answer in answers)
        assert (await client.get("/animals")).status_code == 200


async def test_sessions_are_lost_and_it_goes_on(settings: Settings, admin: asyncpg.Connection) -> None:
    async with started(create_app(settings)) as client:
        assert (await client.get("/animals")).status_code == 200
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = 'zoo_api'"
        )
        async with asyncio.timeout(HANGS):
            while (await client.get("/animals")).status_code != 200:
                await asyncio.sleep(0.05)


async def test_the_api_serves_again_as_soon_as_postgres_does(
    origin: Path, tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> None:
    """With the settings of the stack's pooler: by default, one that failed to connect tries it again after 15 s."""
    folder, data = tmp_path_factory.mktemp("pgbouncer"), tmp_path_factory.mktemp("postgres") / "data"
    copy_of(origin, data)
    by_tcp = {**FAST_AND_FORGETFUL, "listen_addresses": "127.0.0.1", "port": str(free_port)}

    async def until(client: httpx.AsyncClient, status: int) -> float:
        """Wait for an answer with this status; returns the seconds that it took."""
        began = time.monotonic()
        async with asyncio.timeout(HANGS):
            while (await client.get("/animals")).status_code != status:
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    with ExitStack() as until_it_goes:
        server = until_it_goes.enter_context(serve(data, by_tcp))
        by_address = f"* = host=127.0.0.1 port={free_port}"
        async with pgbouncer(server, folder, databases=by_address, **of_the_stack()) as pooler:
            settings = Settings(database_url=pooler.url("zoo_api", DATABASE), database_connect_timeout=1)
            async with started(create_app(settings)) as client:
                await until(client, 200)
                until_it_goes.close()
                await until(client, 503)
                await asyncio.sleep(1)  # in which the pooler tries to connect
                with serve(data, by_tcp):
                    assert await until(client, 200) < BACK_WITHIN


async def test_one_that_another_replaces_loses_no_request_and_ends_when_its_clients_have_gone(
    server: Server, database: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at one address, as Swarm has them for a moment. Which one gets a new connection, the kernel chooses."""
    monkeypatch.setattr("api.database.pooler.POOLED_SECONDS", 0.5)
    port = find_free_port()
    both: dict[str, Any] = {"listen_port": port, "so_reuseport": 1}
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    answers: Counter[int] = Counter()

    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(pgbouncer(server, first, **both))
        settings = Settings(database_url=old.url("zoo_api", database), database_connect_timeout=BUSY)
        client = await stack.enter_async_context(started(create_app(settings)))

        async def ask_until(is_so: Callable[[], bool]) -> None:
            while not is_so():
                answers[(await client.get("/animals")).status_code] += 1

        def ask_all_until(is_so: Callable[[], bool]) -> Awaitable[object]:
            return asyncio.gather(*(ask_until(is_so) for _ in range(AT_ONCE)))

        await ask_all_until(lambda: answers.total() > AT_ONCE)
        await stack.enter_async_context(pgbouncer(server, second, **both))
        assert old.process is not None
        old.process.terminate()
        async with asyncio.timeout(BUSY):
            await ask_all_until(lambda: old.process is not None and old.process.poll() is not None)
        await ask_all_until(lambda: answers.total() > 2 * AT_ONCE)
    assert answers.keys() == {200}


async def test_nothing_of_a_client_stays_in_a_session_that_others_use(
    settings: Settings, admin: asyncpg.Connection, pooler: Pgbouncer, database: str
) -> None:
    async with started(create_app(settings)) as client:
        for path in ("/animals", "/users/me", "/users", "/health/ready"):
            assert (await client.get(path)).status_code == 200
        names = await admin.fetch(
            "SELECT DISTINCT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = 'zoo_api'"
        )
        assert [name for (name,) in names] == [f"api pooled@{settings.release}"]
        other = await asyncpg.connect(pooler.url("zoo_api", database))
        assert await other.fetchval(LOCKS) == 0
        changed = "SELECT name FROM pg_settings WHERE source = 'session' AND setting <> reset_val"
        assert [name for (name,) in await other.fetch(changed) if name not in SET_BY_PGBOUNCER] == []
        await other.close()


@pytest.mark.parametrize("unfit", UNFIT)
async def test_one_that_cannot_keep_statements_apart_is_refused(
    server: Server, database: str, tmp_path: Path, unfit: str, log: Callable[[], list[Log]]
) -> None:
    program, options = UNFIT[unfit]
    async with (
        pgbouncer(server, tmp_path, program(), **options) as pooler,
        started(create_app(Settings(database_url=pooler.url("zoo_api", database)))) as client,
    ):
        async with asyncio.timeout(HANGS):
            while not log():  # at the start, before anybody asks
                await asyncio.sleep(0.01)
        [said] = log()
        assert (said["event"], said["level"]) == ("the pooler can't be used", "error")
        assert NEEDS in said["reason"]
        answers = [await client.get(path) for path in ["/animals", "/users/me"] * 3]
        assert {answer.status_code for answer in answers} == {503}
        async with asyncio.timeout(HANGS):
            while NEEDS not in (ready := await client.get("/health/ready")).json()["detail"]:
                await asyncio.sleep(0.1)
        assert ready.status_code == 503


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_one_whose_sessions_have_another_isolation_is_refused(
    settings: Settings, database: str, admin: asyncpg.Connection, isolation: str, log: Callable[[], list[Log]]
) -> None:
    """Most of several changes at once would fail: tests/api/test_isolation.py has them without a pooler."""
    await set_by_default(admin, database, default_transaction_isolation=isolation)
    async with started(create_app(settings)) as client:
        refused = await client.get("/animals")
        assert (refused.status_code, log()[0]["event"]) == (503, "the pooler can't be used")
        assert f"has to be 'read committed', and it is '{isolation}'" in refused.json()["detail"]
        async with asyncio.timeout(HANGS):
            while "isolation" not in (ready := await client.get("/health/ready")).json()["detail"]:
                await asyncio.sleep(0.1)
        assert ready.status_code == 503


async def test_one_whose_configuration_changes_is_noticed_and_so_is_its_correction(
    settings: Settings, pooler: Pgbouncer
) -> None:
    async def until(status: int, said: str) -> None:
        async with asyncio.timeout(HANGS):
            while (ready := await client.get("/health/ready")).status_code != status or said not in ready.text:
                await asyncio.sleep(0.1)

    async with started(create_app(settings)) as client:
        await asyncio.gather(*(client.get("/animals") for _ in range(20)))
        await pooler.console("SET max_prepared_statements = 0")
        answers = await asyncio.gather(*(client.get(path) for path in ["/animals", "/users/me", "/users"] * 20))
        assert {answer.status_code for answer in answers} == {503}
        await until(503, NEEDS)
        await pooler.console("SET max_prepared_statements = 10")
        await until(200, "OK")
        answers = await asyncio.gather(*(client.get(path) for path in ["/animals", "/users/me", "/users"] * 20))
        assert {answer.status_code for answer in answers} == {200}
