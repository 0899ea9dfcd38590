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
from api.database.errors import DATABASE_ERRORS
from api.database.replica import NotRead
from api.errors import Unavailable
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
    """CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN IF pg_is_in_recovery() THEN PERFORM pg_sleep(0.2); END IF; RETURN true; END$$""",
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
        except (NotRead, Unavailable, *DATABASE_ERRORS):
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
        database_connect_timeout=10,  # on a busy machine
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


async def test_what_nobody_signed_in_reads_of_animals_and_exhibits_is_the_replicas(
    primary: Node, replica: Node
) -> None:
    async with api_with(primary, replica.url()) as api:
        await tell_apart(primary, replica, api)
        for path in PATHS:
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


def is_not(condition: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    async def does_not_hold() -> bool:
        return not await condition()

    return does_not_hold


@contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Until the block ends, the server does nothing, and its kernel still confirms packets."""
    processes = node.processes()
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def scans(node: Node) -> int:
    """How many statements have read animals, as far as the sessions that did so have reported it."""
    found = await node.do("SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'animals'")
    assert isinstance(found, int)
    return found


@asynccontextmanager
async def readers(api: Api) -> AsyncIterator[list[httpx.Response]]:
    """Until the block ends, clients that are not signed in read the animal; their answers."""
    answers: list[httpx.Response] = []
    is_over = False

    async def read_on() -> None:
        while not is_over:
            answers.append(await api.anonymous.get("/animals/1"))
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(read_on()) for _ in range(4)]
    try:
        yield answers
    finally:
        is_over = True
        await asyncio.gather(*tasks)


async def test_a_replica_that_is_killed_again_and_again_costs_no_read(primary: Node, replica: Node) -> None:
    async with api_with(primary, replica.url()) as api, readers(api) as answers:
        for _ in range(rounds(quick=2, full=10)):
            await until(api.is_on_replica)
            await asyncio.sleep(0.2)
            replica.kill()
            await until(is_not(api.is_on_replica))
            replica.start()
        await until(api.is_on_replica)
    assert {answer.status_code for answer in answers} == {200}


async def test_a_replica_that_hangs_costs_no_read_and_soon_no_time(primary: Node, replica: Node) -> None:
    async with api_with(primary, replica.url()) as api:
        await asyncio.gather(*(api.read() for _ in range(4)))
        with frozen(replica):
            began = time.monotonic()
            assert await asyncio.gather(*(api.read() for _ in range(4))) == ["old"] * 4
            assert time.monotonic() - began < api_replica.LOOK_SECONDS + api_replica.ANSWER_SECONDS + STALL
            assert not await api.has_a_replica()


async def test_a_replica_that_is_promoted_is_not_read_from_though_the_primary_lives(
    primary: Node, replica: Node
) -> None:
    async with api_with(primary, replica.url()) as api:
        await tell_apart(primary, replica, api)
        await replica.do(RESUME, "SELECT pg_promote()")
        assert await until(is_not(api.is_on_replica)) < 2 * api_replica.LOOK_SECONDS + STALL
        await rename(replica, "of another history")
        assert {await api.read() for _ in range(20)} == {"new"}


async def test_a_replica_of_another_history_is_not_read_from(
    primary: Node, replica: Node, origin: Path, tmp_path: Path
) -> None:
    """The api's primary is the one that was promoted; the other one lives, and its replica with it."""
    with replica_of(primary, origin, tmp_path, "promoted") as promoted:
        await until(lambda: promoted.do("SELECT count(*) > 0 FROM animals"))
        await promoted.do("SELECT pg_promote()")
        await rename(promoted, "new")
        for _ in range(20):  # so that the other history is further on
            await rename(primary, "old")
        async with api_with(promoted, replica.url(), is_read=False) as api:
            await asyncio.sleep(3 * api_replica.LOOK_SECONDS)
            assert {await api.read() for _ in range(20)} == {"new"}
            assert not await api.is_on_replica()


async def test_a_primary_is_no_replica(primary: Node) -> None:
    async with api_with(primary, primary.url(), is_read=False) as api:
        await asyncio.sleep(2 * api_replica.LOOK_SECONDS)
        assert await api.read() == "old"
        assert not await api.is_on_replica()


async def test_of_two_replicas_behind_one_url_only_the_one_that_keeps_up_is_read_from(
    primary: Node, replica: Node, origin: Path, tmp_path: Path
) -> None:
    with replica_of(primary, origin, tmp_path, "second") as second:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in (replica, second))
        url = f"postgresql://zoo_api@{hosts}/{DATABASE}?load_balance_hosts=random"
        async with api_with(primary, url, MAX_LAG) as api:
            await replica.do(PAUSE)
            await rename(primary, "new")
            await asyncio.gather(*(api.read() for _ in range(40)))  # connections to both
            await asyncio.sleep(MAX_LAG + 0.5)
            assert {await api.read() for _ in range(60)} == {"new"}
        await until(lambda: scans(second))


async def test_reads_that_are_in_the_way_of_a_contract_revision_are_repeated_on_the_primary(
    primary: Node, replica: Node
) -> None:
    await primary.do("ALTER TABLE animals ADD unused text", *SLOW)
    async with api_with(primary, replica.url()) as api, readers(api) as answers:
        for _ in range(rounds(quick=3, full=30)):
            await asyncio.sleep(0.3)
            await primary.do("ALTER TABLE animals DROP unused", "ALTER TABLE animals ADD unused text")
        conflicts = await replica.do("SELECT confl_lock FROM pg_stat_database_conflicts WHERE datname = 'zoo'")
    assert {answer.status_code for answer in answers} == {200}
    assert isinstance(conflicts, int)
    assert conflicts > 0


@pytest.mark.parametrize(
    ("lost", "back"),
    [
        ("ALTER TABLE animals RENAME species TO kind", "ALTER TABLE animals RENAME kind TO species"),
        ("ALTER TABLE animals RENAME TO beasts", "ALTER TABLE beasts RENAME TO animals"),
        (f"UPDATE migration_history SET direction = 'downgrade' WHERE revision = '{SCHEMA_REVISION}'",
         f"UPDATE migration_history SET direction = 'upgrade' WHERE revision = '{SCHEMA_REVISION}'"),
        ("ALTER TABLE migration_history RENAME TO history", "ALTER TABLE history RENAME TO migration_history"),
    ],
    ids=["column", "table", "revision", "history"],
)  # fmt: skip
async def test_a_replica_with_another_schema_costs_no_read(primary: Node, replica: Node, lost: str, back: str) -> None:
    async with api_with(primary, replica.url()) as api:
        assert await api.read() == "old"
        position = await primary.do(lost, "SELECT pg_current_wal_lsn()::text")
        await until(lambda: replica.do(f"SELECT pg_last_wal_replay_lsn() >= '{position}'"))
        await replica.do(PAUSE)
        await primary.do(back)
        await rename(primary, "new")
        await asyncio.sleep(api_replica.LOOK_SECONDS)
        assert {await api.read(path) for path in ("/animals/1", "/animals", "/animals/1")} == {"new"}


async def test_while_the_primary_is_away_reads_go_on_for_a_while_and_say_that_they_may_be_stale(
    primary: Node, replica: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_replica, "STALE_SECONDS", MAX_LAG + 4)
    async with api_with(primary, replica.url(), MAX_LAG) as api:
        primary.stop()
        began = time.monotonic()
        marks = []
        while (answer := await api.anonymous.get("/animals")).status_code == 200:
            marks.append(answer.headers.get("X-Stale-Seconds"))
            ready = await api.anonymous.get("/health/ready")
            # What the replica does not have may be there all the same.
            assert (await api.anonymous.get("/animals/2")).status_code == 503
            assert (await api.admin.get("/animals/1")).status_code == 503
            assert ready.status_code == 200 or time.monotonic() - began > MAX_LAG
            await asyncio.sleep(0.1)
        assert MAX_LAG < time.monotonic() - began < api_replica.STALE_SECONDS + STALL
        assert (await api.anonymous.get("/health/ready")).status_code == 503
        assert marks[0] is None
        stale = [int(mark) for mark in marks if mark is not None]
        assert stale == sorted(stale)
        assert MAX_LAG < stale[0] <= stale[-1] <= api_replica.STALE_SECONDS
        primary.start()
        await until(api.is_on_replica)
        assert "X-Stale-Seconds" not in (await api.anonymous.get("/animals/1")).headers


async def test_reads_are_spread_and_the_primary_has_only_those_of_users(
    primary: Node, replica: Node, record_property: Callable[[str, object], None]
) -> None:
    nodes = (primary, replica)
    before = [await scans(node) for node in nodes]
    async with api_with(primary, replica.url()) as api:
        for number in range(200):
            client = api.admin if number % 10 == 0 else api.anonymous
            assert (await client.get("/animals/1")).status_code == 200
    spread = [0, 0]

    async def all_are_counted() -> bool:
        spread[:] = [await scans(node) - count for node, count in zip(nodes, before, strict=True)]
        return sum(spread) >= 200

    await until(all_are_counted)
    record_property("measured", f"of 200 reads, 20 of them with a token, {spread[1]} on the replica")
    assert spread == [20, 180]
