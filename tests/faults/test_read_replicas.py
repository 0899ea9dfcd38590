"""Reads from a streaming replica: which are, and what they find."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from api.database import replica as api_replica
from api.database.engine import SCHEMA_REVISION
from local.postgres import DATABASE
from tests.bearer import bearer
from tests.faults.reading import (
    MAX_LAG,
    PAUSE,
    RESUME,
    Api,
    api_with,
    frozen,
    is_not,
    readers,
    reads,
    rename,
    scans,
    tell_apart,
    until,
)
from tests.faults.replication import Node, replica_of, swap
from tests.rounds import STALL, rounds

PATHS = ["/animals", "/animals/1", "/exhibits", "/exhibits/1", "/exhibits/1/animals"]
# All statements of the api on a replica take a while, and those on the primary do not.
SLOW = [
    """CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN IF pg_is_in_recovery() THEN PERFORM pg_sleep(0.2); END IF; RETURN true; END$$""",
    "ALTER TABLE animals ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY slow ON animals TO zoo_api USING (slow())",
]


def refusals(cause: str) -> float | None:
    return REGISTRY.get_sample_value("refusals_total", {"cause": cause})


async def test_what_anybody_reads_of_animals_and_exhibits_is_the_replicas(primary: Node, replica: Node) -> None:
    """Also a HEAD, and a page further on; what the replica does not have yet, the primary is asked for."""
    async with api_with(primary, replica.url()) as api:
        await tell_apart(primary, replica, api)
        for path in PATHS:
            assert await api.read(path) == "old"
            for credentials in (bearer("admin"), bearer("nobody"), {"Cookie": "a=b; zoo-auth=visitor"}):
                assert await api.read(path, headers=credentials) == "new"
            assert await api.read(path, headers={"Cookie": "a=b"}) == "old"
        of = [await client.get("/animals?count=true&q=old") for client in (api.anonymous, api.admin)]
        assert [answer.headers["X-Total-Count"] for answer in of] == ["1", "0"]
        heads = [await client.head("/animals/1") for client in (api.anonymous, api.admin)]
        assert heads[0].headers["ETag"] != heads[1].headers["ETag"]

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
        under_way = asyncio.gather(*(write(api, rounds(quick=15, full=1250)) for _ in range(8)))
        while not under_way.done():
            await replica.do(PAUSE)
            await asyncio.sleep(0.3)
            await replica.do(RESUME)
            await asyncio.sleep(0.1)
        await under_way
    record_property("measured", f"{written} records, {missing} missing")
    assert (written, missing) == (rounds(quick=120, full=10_000), 0)


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


async def test_a_primary_that_is_late_once_makes_no_answer_stale(
    primary: Node, replica: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_replica, "ANSWER_SECONDS", 0.2)
    async with api_with(primary, replica.url(), 2 * MAX_LAG) as api:
        await tell_apart(primary, replica, api)
        await until(reads(api, "new"))
        with frozen(primary):
            waiting = []
            for _ in range(8):
                waiting.append(asyncio.create_task(api.anonymous.get("/animals/1")))
                await asyncio.sleep(0.2)
        answers = await asyncio.gather(*waiting)
    assert {(answer.json()["name"], answer.headers.get("X-Stale-Seconds")) for answer in answers} == {("new", None)}


async def test_after_a_restore_what_was_restored_is_read(primary: Node, replica: Node) -> None:
    """Another database then has the name, and sessions on the replica stay in the one of before."""
    await primary.do("CREATE DATABASE zoo_restored TEMPLATE zoo")
    await rename(primary, "of before")
    async with api_with(primary, replica.url()) as api:
        await until(reads(api, "of before"))
        assert await asyncio.gather(*(api.read() for _ in range(8))) == ["of before"] * 8
        await replica.do(PAUSE)
        swap(primary, "zoo_restored", "zoo_before")
        await until(is_not(api.has_a_replica))
        assert {await api.read() for _ in range(20)} == {"old"}
        await replica.do(RESUME)
        await until(api.has_a_replica)
        assert {await api.read() for _ in range(20)} == {"old"}
        of_before = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'zoo_before' AND usename = 'zoo_api'"
        await asyncio.sleep(api_replica.LOOK_SECONDS)
        await asyncio.gather(*(api.read() for _ in range(8)))
        assert await replica.do(of_before) == 0


# Too little of an answer for the code that asks: a fault of its own.
TOO_LITTLE = {"_PRIMARY": "SELECT 1 AS one", "_REPLICA": "SELECT $1::text AS one"}


async def test_whatever_the_watch_of_a_replica_meets_it_goes_on(
    primary: Node, replica: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_replica, "STALE_SECONDS", MAX_LAG)
    async with api_with(primary, replica.url(), MAX_LAG) as api:
        for question, answer in TOO_LITTLE.items():
            with monkeypatch.context() as fault:
                fault.setattr(api_replica, question, answer)
                await until(is_not(api.has_a_replica))
            await until(api.has_a_replica)
            assert await api.is_on_replica()


async def test_a_replica_whose_link_is_broken_is_not_read_from(primary: Node, replica: Node) -> None:
    """All that it has received it has replayed, which is not what the primary has."""
    async with api_with(primary, replica.url(), MAX_LAG) as api:
        await replica.do("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'", "SELECT pg_reload_conf()")
        await until(lambda: replica.do("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"))
        await rename(primary, "new")
        assert await until(reads(api, "new")) < MAX_LAG + STALL
        received, replayed = "pg_last_wal_receive_lsn()", "pg_last_wal_replay_lsn()"
        assert await replica.do(f"SELECT coalesce({received} <= {replayed}, true)")


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
    primary: Node, replica: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says so once."""
    await primary.do("ALTER TABLE animals ADD unused text", *SLOW)
    async with api_with(primary, replica.url()) as api, readers(api) as answers:
        for _ in range(rounds(quick=3, full=30)):
            await asyncio.sleep(0.3)
            await primary.do("ALTER TABLE animals DROP unused", "ALTER TABLE animals ADD unused text")
        conflicts = "SELECT confl_lock > 0 FROM pg_stat_database_conflicts WHERE datname = 'zoo'"
        await until(lambda: replica.do(conflicts))  # sessions report it some time later
    assert {answer.status_code for answer in answers} == {200}
    assert capsys.readouterr().out.count("the primary is asked instead of the replica") == 1


async def test_reads_for_which_the_replica_has_no_connection_are_the_primarys_and_not_counted_as_refused(
    primary: Node, replica: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    await primary.do(*SLOW)
    refused = [refusals(cause) for cause in ("pool", "queue")]
    async with api_with(primary, replica.url(), pool_size=1) as api:
        answers = await asyncio.gather(*(api.anonymous.get("/animals/1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert capsys.readouterr().out.count("the primary is asked instead of the replica") == 1
    assert [refusals(cause) for cause in ("pool", "queue")] == refused


# What takes something from the schema, and what gives it back.
SCHEMAS = {
    "column": ("ALTER TABLE animals RENAME species TO kind", "ALTER TABLE animals RENAME kind TO species"),
    "table": ("ALTER TABLE animals RENAME TO beasts", "ALTER TABLE beasts RENAME TO animals"),
    "revision": (
        f"UPDATE migration_history SET direction = 'downgrade' WHERE revision = '{SCHEMA_REVISION}'",
        f"UPDATE migration_history SET direction = 'upgrade' WHERE revision = '{SCHEMA_REVISION}'",
    ),
    "history": ("ALTER TABLE migration_history RENAME TO history", "ALTER TABLE history RENAME TO migration_history"),
}


async def test_a_replica_with_another_schema_costs_no_read(primary: Node, replica: Node) -> None:
    async with api_with(primary, replica.url()) as api:
        for what, (lost, back) in SCHEMAS.items():
            assert await api.read() == "old"
            position = await primary.do(lost, "SELECT pg_current_wal_lsn()::text")
            await until(lambda: replica.do(f"SELECT pg_last_wal_replay_lsn() >= '{position}'"))  # noqa: B023 - at once
            await replica.do(PAUSE)
            await primary.do(back)
            await rename(primary, "new")
            await asyncio.sleep(api_replica.LOOK_SECONDS)
            assert {await api.read(path) for path in ("/animals/1", "/animals", "/animals/1")} == {"new"}, what
            await rename(primary, "old")
            await replica.do(RESUME)
            await until(lambda: replica.do("SELECT name = 'old' FROM animals WHERE id = 1"))
            await until(api.is_on_replica)


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
