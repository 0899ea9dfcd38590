"""/health, /health/db and /health/ready."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, closing, suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest

from api.database import probes, workers
from api.database.engine import SCHEMA_REVISION
from api.database.probes import GOOD_FOR_SECONDS
from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.conftest import WAITING, Log, answering, started, superuser
from tests.rounds import STALL

MOVE = "INSERT INTO migration_history (revision, direction, floor) VALUES ('newer', 'upgrade', $1)"
BOTH = ("/health/db", "/health/ready")
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'zoo_api'"
NOBODY_LISTENS = "postgresql://zoo_api@127.0.0.1:1/zoo"


def api_on(database_url: str, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A client of an api with this database, which asks it nothing by itself."""
    return answering(create_app(Settings(database_url=database_url, **settings)))


def started_on(database_url: str) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """A client of an api with this database, as it really runs."""
    return started(create_app(Settings(database_url=database_url)))


@pytest.fixture(scope="module")
async def cut_off() -> AsyncIterator[httpx.AsyncClient]:
    """A client of an api whose database is down: connections are refused."""
    async with api_on(NOBODY_LISTENS) as client:
        yield client


@pytest.fixture
async def left_hanging(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an api whose database accepts connections and never answers."""
    monkeypatch.setattr(workers, "END_SECONDS", 0.1)  # nor will it at the end

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        async with started_on(f"postgresql://zoo_api@127.0.0.1:{port}/zoo") as client:
            yield client


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine even a good answer takes a while."""
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 60)


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is good for the next probe, too."""
    monkeypatch.setattr(probes, "GOOD_FOR_SECONDS", 0)


class TestHealth:
    async def test_is_ok_with_a_timestamp(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/health")
        assert answer.status_code == 200
        assert {**answer.json(), "timestamp": None} == {"status": "OK", "code": 200, "timestamp": None}
        assert datetime.fromisoformat(answer.json()["timestamp"]).tzinfo is not None

    async def test_never_touches_the_database(self, cut_off: httpx.AsyncClient) -> None:
        assert (await cut_off.get("/health")).status_code == 200


@pytest.mark.parametrize("path", BOTH)
class TestDatabaseHealth:
    async def test_is_200_while_the_database_answers(self, client: httpx.AsyncClient, path: str) -> None:
        assert (await client.get(path)).json()["status"] == "OK"

    async def test_is_503_if_nothing_listens(self, cut_off: httpx.AsyncClient, path: str) -> None:
        answer = await cut_off.get(path)
        assert answer.status_code == 503
        assert answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0


class TestSilence:
    async def test_a_database_that_hangs_is_503_within_2_s(self, left_hanging: httpx.AsyncClient) -> None:
        async with asyncio.timeout(2 + STALL):
            answers = await asyncio.gather(*(left_hanging.get(path) for path in BOTH))
        for answer in answers:
            assert answer.status_code == 503, answer.url
            assert answer.json()["detail"], answer.url

    async def test_a_connection_that_falls_silent_is_503_within_2_s(
        self, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As if the network began to drop packets: the connection is established, was used, and is not closed."""
        monkeypatch.setattr(workers, "END_SECONDS", 0.1)
        silent = asyncio.Event()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                if not silent.is_set():
                    writer.write(data)
            writer.close()

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs = await asyncio.open_unix_connection(server.socket_dir / ".s.PGSQL.5432")
            with closing(theirs[1]), closing(writer), suppress(ConnectionError):
                await asyncio.gather(forward(reader, theirs[1]), forward(theirs[0], writer))

        async with await asyncio.start_server(connect, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            async with started_on(f"postgresql://zoo_api@127.0.0.1:{port}/{database}") as client:
                async with asyncio.timeout(20):
                    while (await client.get("/health/db")).status_code != 200:
                        await asyncio.sleep(GOOD_FOR_SECONDS)
                silent.set()
                await asyncio.sleep(GOOD_FOR_SECONDS)
                for path in BOTH:
                    async with asyncio.timeout(2 + STALL):
                        answer = await client.get(path)
                    assert answer.status_code == 503, path
                    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.1)  # that it is a second was seen
                silent.clear()


class TestCrowd:
    @pytest.mark.usefixtures("patient")
    async def test_one_query_serves_all_probes_within_half_a_second(
        self, server: Server, database: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(probes, "ANSWER_SECONDS", 60)  # on a busy machine, a connection may take longer than one
        async with api_on(server.url("zoo_api", database)) as client:
            asked_at = {}
            for path in BOTH:
                began, since = time.monotonic(), datetime.now(UTC)
                answers = [*await asyncio.gather(*(client.get(path) for _ in range(10))), await client.get(path)]
                took = time.monotonic() - began
                assert {answer.status_code for answer in answers} == {200}, path
                asked_at[path] = {answer.json()["timestamp"] for answer in answers}
                # The api may have asked for itself, just before.
                anew = {at for at in asked_at[path] if datetime.fromisoformat(at) >= since}
                assert len(anew) <= 1 + took / GOOD_FOR_SECONDS, path
                assert len(asked_at[path] - anew) <= 1, path
            await admin.execute("DROP TABLE migration_history")
            await asyncio.sleep(GOOD_FOR_SECONDS)
            for path in BOTH:
                later = await asyncio.gather(*(client.get(path) for _ in range(10)))
                assert {answer.status_code for answer in later} == {503 if path == "/health/ready" else 200}, path
                assert asked_at[path].isdisjoint(answer.json().get("timestamp") for answer in later), path

    @pytest.mark.usefixtures("asked_anew")
    @pytest.mark.parametrize("path", BOTH)
    async def test_a_failure_serves_all_probes_too_even_those_that_arrive_while_it_is_awaited(
        self, left_hanging: httpx.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(probes, "ANSWER_SECONDS", 1)
        first = [asyncio.create_task(left_hanging.get(path)) for _ in range(5)]
        await asyncio.sleep(0.1)
        later = [asyncio.create_task(left_hanging.get(path)) for _ in range(5)]
        answers = await asyncio.gather(*first)
        for _ in range(100):
            await asyncio.sleep(0)
        assert all(task.done() for task in later)  # none waits for as long itself
        assert {answer.status_code for answer in (*answers, *await asyncio.gather(*later))} == {503}

    @pytest.mark.usefixtures("patient")
    async def test_a_client_that_gives_up_does_not_take_the_answer_from_others(
        self, server: Server, worker_database: str
    ) -> None:
        async with api_on(server.url("zoo_api", worker_database)) as client:
            for path in BOTH:
                first, second = (asyncio.create_task(client.get(path)) for _ in range(2))
                await asyncio.sleep(0)
                first.cancel()
                assert (await second).status_code == 200, path


@pytest.mark.usefixtures("patient")
class TestReady:
    async def test_is_503_on_an_empty_database(self, server: Server, database: str) -> None:
        admin = await superuser(server)
        await admin.execute(f"CREATE DATABASE {database}_empty")
        async with api_on(server.url("zoo_api", f"{database}_empty")) as client:
            answer = await client.get("/health/ready")
            assert (await client.get("/health/db")).status_code == 200
        await admin.execute(f"DROP DATABASE {database}_empty WITH (FORCE)")
        await admin.close()
        assert answer.status_code == 503
        assert SCHEMA_REVISION in answer.json()["detail"]
        assert "alembic upgrade head" in answer.json()["detail"]

    async def test_an_api_older_than_the_schema_is_ready(self, server: Server, database: str) -> None:
        admin = await superuser(server, database)
        await admin.execute("INSERT INTO migration_history (revision, direction) VALUES ('newer', 'upgrade')")
        await admin.execute("UPDATE alembic_version SET version_num = 'newer'")
        await admin.close()
        async with api_on(server.url("zoo_api", database)) as client:
            assert (await client.get("/health/ready")).status_code == 200

    async def test_an_api_whose_revision_was_downgraded_is_not_ready(self, server: Server, database: str) -> None:
        admin = await superuser(server, database)
        await admin.execute(
            "INSERT INTO migration_history (revision, direction) VALUES ($1, 'downgrade')", SCHEMA_REVISION
        )
        await admin.close()
        async with api_on(server.url("zoo_api", database)) as client:
            assert (await client.get("/health/ready")).status_code == 503

    async def test_where_the_history_cannot_be_read_no_migrator_is_asked_for(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("REVOKE ALL ON migration_history FROM zoo_api, PUBLIC")
        async with api_on(server.url("zoo_api", database)) as client:
            answer = await client.get("/health/ready")
        assert answer.status_code == 500
        assert "alembic" not in answer.text

    @pytest.mark.usefixtures("asked_anew")
    @pytest.mark.parametrize("release", ["0.4.0", "0.3.9", "dev"])
    async def test_an_api_below_the_floor_is_not_ready_and_says_why(
        self, server: Server, database: str, admin: asyncpg.Connection, log: Callable[[], list[Log]], release: str
    ) -> None:
        async with api_on(server.url("zoo_api", database), release=release) as client:
            await admin.execute(MOVE, "0.4.0")
            answer = await answer_of_database(client)
            assert (await client.get("/health")).status_code == 200
            await admin.execute(MOVE, None)  # the contract revision was taken back
            assert (await answer_of_database(client)).status_code == 200
        assert answer.status_code == (200 if release == "0.4.0" else 503)
        if answer.status_code != 200:
            why = answer.json()["detail"]
            assert f"releases before 0.4.0 use, and this is release {release}" in why
            assert ("is not a version number" in why) == (release == "dev")
            assert why in [line.get("reason") for line in log()]

    @pytest.mark.usefixtures("asked_anew")
    async def test_a_release_without_a_number_lives_with_contract_revisions_before_its_own(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(MOVE, "0.4.0")
        async with api_on(server.url("zoo_api", database), release="3b85009") as client:
            for own, status in (("0.4.0", 200), ("0.3.0", 503), (None, 503)):
                await admin.execute("UPDATE migration_history SET floor = $1 WHERE revision <> 'newer'", own)
                assert (await client.get("/health/ready")).status_code == status, own

    async def test_it_is_ready_beside_a_history_that_an_older_migrator_has_made(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("ALTER TABLE migration_history DROP COLUMN floor")
        async with api_on(server.url("zoo_api", database)) as client:
            assert (await answer_of_database(client)).status_code == 200


@pytest.mark.usefixtures("patient", "own_sessions")
async def test_a_probe_that_is_still_awaited_at_the_end_keeps_no_connection(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    async with admin.transaction():
        await admin.execute("LOCK TABLE migration_history")
        async with started_on(server.url("zoo_api", database)), asyncio.timeout(30):
            while not await admin.fetchval(WAITING):
                await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        while await admin.fetchval(OPEN):
            await asyncio.sleep(0.01)


async def answer_of_database(client: httpx.AsyncClient) -> httpx.Response:
    """Whether it is ready, once the database has answered: a busy machine may need longer than a probe waits."""
    async with asyncio.timeout(30):
        while "has not answered" in (answer := await client.get("/health/ready")).text:
            await asyncio.sleep(GOOD_FOR_SECONDS)
    return answer
