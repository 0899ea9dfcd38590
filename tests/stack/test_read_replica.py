"""The stack with a streaming replica of its database, as docker-compose.read-replica.yml makes it."""

import time
from collections.abc import Callable

import httpx

from tests.conftest import ROOT
from tests.rounds import STALL, rounds
from tests.stack.stack import HERE, PATIENCE, Stack, docker, running

MAX_LAG = 5  # READ_MAX_LAG_SECONDS, by default
WRITES = rounds(quick=200, full=10_000)
SCANS = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'animals'"
REPLAYED = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"


def until(condition: Callable[[], object]) -> float:
    """Wait until it holds; returns the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 60
        time.sleep(0.1)
    return time.monotonic() - began


def on_replica(stack: Stack, statement: str) -> str:
    psql = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--username=postgres", "--dbname=zoo"]
    return stack.exec("db-replica", *psql, f"--command={statement}").stdout.strip()


def names(stack: Stack) -> set[str]:
    """What anybody reads as the animal's name, from either worker."""
    answers = [stack.get("/animals/1").raise_for_status() for _ in range(10)]
    return {str(answer.json()["name"]) for answer in answers}


def test_anybody_reads_from_a_replica_that_keeps_up_and_from_the_primary_otherwise(
    images: list[str],  # noqa: ARG001 - built before
    record_property: Callable[[str, object], None],
) -> None:
    stack = Stack(ROOT / "docker-compose.read-replica.yml", HERE / "images-read-replica.yml")
    with running(stack, "api", "db-replica"), stack.client() as admin:
        assert admin.post("/animals", json={"name": "old"}).headers["Location"] == "/animals/1"
        until(lambda: stack.sql("postgres", REPLAYED).stdout.strip() == "1")
        until(lambda: names(stack) == {"old"} and int(on_replica(stack, SCANS)) > 0)

        on_replica(stack, "SELECT pg_wal_replay_pause()")
        assert admin.patch("/animals/1", json={"name": "new"}).status_code == 200
        behind = until(lambda: names(stack) == {"new"})
        assert behind < MAX_LAG + 1 + STALL
        on_replica(stack, "SELECT pg_wal_replay_resume()")

        with httpx.Client(base_url=stack.address, timeout=PATIENCE) as anybody:
            for number in range(WRITES):
                place = admin.post("/animals", json={"name": f"A{number}"}).raise_for_status().headers["Location"]
                assert [client.get(place).status_code for client in (anybody, admin)] == [200, 200], number

        docker("kill", stack.container("db-replica"))
        for _ in range(50):
            assert stack.get("/animals").status_code == 200
        docker("start", stack.container("db-replica"))
        until(lambda: stack.sql("postgres", REPLAYED).stdout.strip() == "1")
        scans = int(on_replica(stack, SCANS))
        until(lambda: names(stack) == {"new"} and int(on_replica(stack, SCANS)) > scans)

        docker("kill", stack.container("db"))
        stale = until(lambda: "X-Stale-Seconds" in stack.get("/animals/1").raise_for_status().headers)
        assert stack.is_ready()
        assert admin.post("/animals", json={"name": "A"}).status_code == 503
        docker("start", stack.container("db"))
        until(lambda: admin.post("/animals", json={"name": "A"}).status_code == 201)

        until(lambda: stack.sql("postgres", REPLAYED).stdout.strip() == "1")
        on_replica(stack, "SELECT pg_promote()")
        on_replica(stack, "UPDATE animals SET name = 'of another history'")
        until(lambda: names(stack) == {"new"})
        assert names(stack) == {"new"}
    record_property(
        "measured", f"{WRITES} writes, none missing; to the primary after {behind:.1f} s; stale after {stale:.1f} s"
    )
