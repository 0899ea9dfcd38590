"""Reads from a streaming replica: when it is asked, and when the primary is."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.database import replica as api_replica
from api.database.engine import SCHEMA_REVISION
from api.database.replica import NotRead
from api.main import create_app
from api.settings import Settings
from local.postgres import DATABASE, serve
from tests.conftest import FAST_AND_FORGETFUL, Served, add_people, alembic, serve_app, signed_in
from tests.faults.replication import Node, primary_of, replica_of
from tests.rounds import STALL, rounds

MAX_LAG = 3.0
LONG = 60.0  # a lag that no test reaches
RECORDS = "INSERT INTO {} (name) VALUES ('old')"
PATHS = ["/animals", "/animals/1", "/exhibits", "/exhibits/1", "/exhibits/1/animals"]
RENAME = ["UPDATE animals SET name = '{0}'", "UPDATE exhibits SET name = '{0}'"]
PAUSE, RESUME = "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"
# All statements of the api on a replica take a while, and those on the primary do not.
SLOW = [
    "CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql AS"
    " $$BEGIN IF pg_is_in_recovery() THEN PERFORM pg_sleep(0.2); END IF; RETURN true; END$$",
    "ALTER TABLE animals ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY slow ON animals TO zoo_api USING (slow())",
]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a server with the schema, the users, and an animal in an exhibit."""
    data = tmp_path_factory.mktemp("origin") / "data"
    with serve(data, FAST_AND_FORGETFUL, DATABASE) as server:
        assert alembic(server.environment(), "upgrade", "head").returncode == 0
        asyncio.run(add_people(server, DATABASE))
    return data


@pytest.fixture
def primary(origin: Path, tmp_path: Path) -> Iterator[Node]:
    with primary_of(origin, tmp_path) as node:
        asyncio.run(node.do("INSERT INTO exhibits (name) VALUES ('old')"))
        asyncio.run(node.do("INSERT INTO animals (name, exhibit_id) VALUES ('old', 1)"))
        yield node


@pytest.fixture
def replica(primary: Node, origin: Path, tmp_path: Path) -> Iterator[Node]:
    with replica_of(primary, origin, tmp_path) as node:
        yield node


class Api:
    """The api with a primary and a replica, and clients of it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.anonymous = served.client(raise_app_exceptions=False)
        self.admin = served.client("admin", raise_app_exceptions=False)

    async def has_a_replica(self) -> bool:
        """Whether a replica is known to be near the primary."""
        assert self.served.state.replica is not None
        return self.served.state.replica.can_stand_in()

    async def is_on_replica(self) -> bool:
        """Whether what nobody signed in reads is the replica's."""
        replica = self.served.state.replica
        assert replica is not None
        try:
            async with replica.connect():
                return True
        except NotRead:
            return False

    async def read(self, path: str = "/animals/1", **options: Any) -> str:
        """The name of the record that anybody reads there: it tells which server has answered."""
        answer = await self.anonymous.get(path, **options)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        record = found[0] if isinstance(found, list) else found
        return str(record["name"])


@asynccontextmanager
async def api_with(primary: Node, read_url: str, max_lag: float = LONG, *, is_read: bool = True) -> AsyncIterator[Api]:
    """The api; if there is a replica, it is read from."""
    settings = Settings(
        database_url=primary.url(),
        database_read_url=read_url,
        read_max_lag_seconds=max_lag,
        database_connect_timeout=60,  # on a busy machine
    )
    async with serve_app(create_app(settings)) as served:
        api = Api(served)
        if is_read:
            await until(api.has_a_replica)
        yield api


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 30) -> float:
    """Wait until it holds; returns the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)
    return time.monotonic() - began


def reads(api: Api, name: str) -> Callable[[], Awaitable[bool]]:
    async def is_read() -> bool:
        return await api.read() == name

    return is_read


async def rename(node: Node, name: str) -> None:
    await node.do(*(statement.format(name) for statement in RENAME))


async def tell_apart(primary: Node, replica: Node, api: Api) -> None:
    """Let the names be `new` on the primary, and `old` on the replica, which is read from."""
    await replica.do(PAUSE)
    await rename(primary, "new")
    assert await api.read() == "old"


@pytest.mark.parametrize("path", PATHS)
async def test_what_nobody_signed_in_reads_of_animals_and_exhibits_is_the_replicas(
    primary: Node, replica: Node, path: str
) -> None:
    async with api_with(primary, replica.url()) as api:
        await tell_apart(primary, replica, api)
        assert await api.read(path) == "old"
        for credentials in (signed_in("visitor"), signed_in("nobody"), {"Cookie": "a=b; zoo-auth=visitor"}):
            assert await api.read(path, headers=credentials) == "new"
        assert await api.read(path, headers={"Cookie": "a=b"}) == "old"


async def test_a_head_and_a_page_further_on_are_the_replicas_too(primary: Node, replica: Node) -> None:
    async with api_with(primary, replica.url()) as api:
        await tell_apart(primary, replica, api)
        of = [await client.get("/animals?count=true&q=old") for client in (api.anonymous, api.admin)]
        assert [answer.headers["X-Total-Count"] for answer in of] == ["1", "0"]
        heads = [await client.head("/animals/1") for client in (api.anonymous, api.admin)]
        assert heads[0].headers["ETag"] != heads[1].headers["ETag"]


async def test_what_the_replica_does_not_have_yet_the_primary_is_asked_for(primary: Node, replica: Node) -> None:
    async with api_with(primary, replica.url()) as api:
        await tell_apart(primary, replica, api)
        assert (await api.admin.post("/exhibits", json={"name": "E"})).headers["Location"] == "/exhibits/2"
        assert (await api.admin.post("/animals", json={"name": "A", "exhibit_id": 2})).status_code == 201
        assert await api.read("/exhibits/2") == "E"
        assert await api.read("/animals/2") == "A"
        # Nor is what belongs to it missing.
        assert await api.read("/exhibits/2/animals") == "A"
        assert (await api.anonymous.get("/animals/3")).status_code == 404


async def test_what_is_written_is_read_back_with_and_without_a_token(
    primary: Node, replica: Node, record_property: Callable[[str, object], None]
) -> None:
    missing = written = 0

    async def write(api: Api, count: int) -> None:
        nonlocal missing, written
        for _ in range(count):
            created = await api.admin.post("/animals", json={"name": "A"})
            for client in (api.anonymous, api.admin):
                read = await client.get(created.headers["Location"])
                missing += read.status_code != 200 or read.json() != created.json()
            written += 1

    async with api_with(primary, replica.url()) as api:
        under_way = asyncio.gather(*(write(api, rounds(quick=125, full=1250)) for _ in range(8)))
        while not under_way.done():
            await replica.do(PAUSE)
            await asyncio.sleep(0.3)
            await replica.do(RESUME)
            await asyncio.sleep(0.1)
        await under_way
    record_property("measured", f"{written} records, {missing} missing")
    assert (written, missing) == (rounds(quick=1000, full=10_000), 0)


async def test_a_replica_that_is_behind_is_not_read_from_until_it_has_caught_up(
    primary: Node, replica: Node, record_property: Callable[[str, object], None]
) -> None:
    async with api_with(primary, replica.url(), MAX_LAG) as api:
        await asyncio.sleep(MAX_LAG + 1)  # in which nobody writes
        await tell_apart(primary, replica, api)
        seconds = await until(reads(api, "new"))
        record_property("measured", f"{seconds:.1f} s")
        assert seconds < MAX_LAG + STALL
        await replica.do(RESUME)
        await until(api.is_on_replica)


async def test_a_replica_whose_link_is_broken_is_not_read_from(primary: Node, replica: Node) -> None:
    """All that it has received it has replayed, which is not what the primary has."""
    async with api_with(primary, replica.url(), MAX_LAG) as api:
        await replica.do("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'", "SELECT pg_reload_conf()")
        await until(lambda: replica.do("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"))
        await rename(primary, "new")
        assert await until(reads(api, "new")) < MAX_LAG + STALL
        received, replayed = "pg_last_wal_receive_lsn()", "pg_last_wal_replay_lsn()"
        assert await replica.do(f"SELECT coalesce({received} <= {replayed}, true)")
