"""The stack with a streaming replica of its database, as docker-compose.read-replica.yml makes it."""

import subprocess
from collections.abc import Callable
from functools import partial

import httpx
import pytest

from tests.conftest import ROOT
from tests.rounds import POOL_TIMEOUT, STALL, rounds
from tests.stack import observed
from tests.stack.stack import HERE, NO_STORAGE, PATIENCE, Stack, docker, running

MAX_LAG = 5  # READ_MAX_LAG_SECONDS, by default
WRITES = rounds(quick=50, full=10_000)
READS = rounds(quick=50, full=100)
# With time for the lag to be too long before a query on the replica is ended.
PATIENT = ("ALTER SYSTEM SET max_standby_streaming_delay = '10s'", "SELECT pg_reload_conf()")
LONG_READ = "SELECT pg_sleep(600) FROM animals LIMIT 1"
IS_READING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
HAS_COLUMN = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'animals'::regclass AND attname = 'unused'"
MAY_REPLICATE = "SELECT address FROM pg_hba_file_rules WHERE 'replication' = ANY (database)"
SCANS = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'animals'"
REPLAYED = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"

until = partial(observed.until, seconds=60)


def on_replica(stack: Stack, statement: str) -> str:
    psql = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--username=postgres", "--dbname=zoo"]
    return stack.exec("db-replica", *psql, f"--command={statement}").stdout.strip()


def scans(stack: Stack) -> list[int]:
    """How many statements have read animals, on the primary and on the replica, as far as sessions have reported it."""
    return [int(stack.sql("postgres", SCANS).stdout), int(on_replica(stack, SCANS))]


def name(stack: Stack) -> str:
    """What anybody reads as the animal's name."""
    return str(stack.get("/animals/1").raise_for_status().json()["name"])


def spread_of(stack: Stack, writer: httpx.Client) -> str:
    """What READS reads by anybody, and a tenth as many with a token, are run on."""
    before = scans(stack)
    for _ in range(READS):
        stack.get("/animals/1").raise_for_status()
    for _ in range(READS // 10):
        writer.get("/animals/1").raise_for_status()
    until(lambda: sum(scans(stack)) - sum(before) >= READS + READS // 10)
    spread = [now - then for now, then in zip(scans(stack), before, strict=True)]
    assert spread[1] > READS / 2
    return f"of {sum(spread)} reads, {spread[1]} on the replica"


def require_that_a_contract_revision_fails_no_read(stack: Stack, writer: httpx.Client) -> None:
    """It waits there for a query that is in its way, and with it all that is written later."""
    stack.sql("zoo_migrator", "ALTER TABLE animals ADD unused text")
    until(lambda: on_replica(stack, HAS_COLUMN) == "1")
    for statement in PATIENT:
        on_replica(stack, statement)
    psql = ["docker", "exec", stack.container("db-replica"), "psql", "--username=postgres", "--dbname=zoo"]
    with subprocess.Popen([*psql, f"--command={LONG_READ}"], text=True, stderr=subprocess.PIPE) as long_read:
        until(lambda: on_replica(stack, IS_READING) == "1")
        stack.sql("zoo_migrator", "ALTER TABLE animals DROP unused")
        assert writer.patch("/animals/1", json={"name": "newer"}).status_code == 200
        until(lambda: name(stack) == "newer")
        assert "conflict with recovery" in long_read.communicate(timeout=60)[1]
    until(lambda: on_replica(stack, HAS_COLUMN) == "0")
    assert writer.patch("/animals/1", json={"name": "new"}).status_code == 200


def require_that_what_is_written_is_read(stack: Stack, writer: httpx.Client) -> None:
    """With a token and without."""
    with httpx.Client(base_url=stack.address, timeout=PATIENCE) as anybody:
        for number in range(WRITES):
            place = writer.post("/animals", json={"name": f"A{number}"}).raise_for_status().headers["Location"]
            assert [client.get(place).status_code for client in (anybody, writer)] == [200, 200], number


def require_that_the_replica_can_be_made_anew(stack: Stack) -> None:
    """As docs/read-replicas.md has it."""
    stack.compose("stop", "db-replica")
    stack.compose("run", "--rm", "--no-deps", "--entrypoint", "sh", "db-replica", "-c", 'rm -rf "$PGDATA"')
    stack.compose("start", "db-replica")
    until(lambda: stack.sql("postgres", REPLAYED).stdout.strip() == "1")
    scanned = int(on_replica(stack, SCANS))
    until(lambda: name(stack) == "new" and int(on_replica(stack, SCANS)) > scanned)


@pytest.mark.one_stack  # beside the other stacks, though it has its own: so both halves take about as long
def test_anybody_reads_from_a_replica_that_keeps_up_and_from_the_primary_otherwise(
    images: list[str],  # noqa: ARG001 - built before
    record_property: Callable[[str, object], None],
) -> None:
    files = (ROOT / "docker-compose.read-replica.yml", HERE / "images-read-replica.yml", NO_STORAGE)
    stack = Stack(
        *files,
        S3_UPLOAD_URL="",
        WEB_CONCURRENCY="1",  # each worker finds out for itself whether it may read from the replica
        DATABASE_POOL_TIMEOUT=POOL_TIMEOUT,
        DATABASE_CONNECT_TIMEOUT=POOL_TIMEOUT,
    )
    with running(stack, "api", "db-replica"), stack.client() as writer:
        assert writer.post("/animals", json={"name": "old"}).headers["Location"] == "/animals/1"
        until(lambda: stack.sql("postgres", REPLAYED).stdout.strip() == "1")
        until(lambda: name(stack) == "old" and int(on_replica(stack, SCANS)) > 0)
        assert stack.sql("postgres", MAY_REPLICATE).stdout == "samenet\n"

        spread = spread_of(stack, writer)

        on_replica(stack, "SELECT pg_wal_replay_pause()")
        assert writer.patch("/animals/1", json={"name": "new"}).status_code == 200
        behind = until(lambda: name(stack) == "new")
        assert behind < MAX_LAG + 1 + STALL
        on_replica(stack, "SELECT pg_wal_replay_resume()")

        require_that_a_contract_revision_fails_no_read(stack, writer)
        require_that_what_is_written_is_read(stack, writer)

        docker("kill", stack.container("db-replica"))
        for _ in range(50):
            assert stack.get("/animals").status_code == 200
        docker("start", stack.container("db-replica"))
        until(lambda: stack.sql("postgres", REPLAYED).stdout.strip() == "1")
        scanned = int(on_replica(stack, SCANS))
        until(lambda: name(stack) == "new" and int(on_replica(stack, SCANS)) > scanned)

        docker("kill", stack.container("db"))
        stale = until(lambda: "X-Stale-Seconds" in stack.get("/animals/1").raise_for_status().headers)
        assert stack.is_ready()
        assert writer.post("/animals", json={"name": "A"}).status_code == 503
        docker("start", stack.container("db"))
        until(lambda: writer.post("/animals", json={"name": "A"}).status_code == 201)

        until(lambda: stack.sql("postgres", REPLAYED).stdout.strip() == "1")
        on_replica(stack, "SELECT pg_promote()")
        on_replica(stack, "UPDATE animals SET name = 'of another history'")
        until(lambda: name(stack) == "new")
        assert name(stack) == "new"
        require_that_the_replica_can_be_made_anew(stack)
    record_property(
        "measured",
        f"{WRITES} writes, none missing; to the primary after {behind:.1f} s; stale after {stale:.1f} s; {spread}",
    )
