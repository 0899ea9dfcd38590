"""The network between the api and Postgres breaks while clients are at work."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.clients import besides_busy
from tests.rounds import STALL, rounds
from tests.stack.drill import (
    MANY,
    at_work,
    between,
    figures,
    firewall,
    identity,
    is_good,
    recovery,
    until_ready,
)
from tests.stack.stack import Stack, docker, pause, run_docker

UP_SECONDS = 3.0
POSTGRES = ("--protocol", "tcp", "--in-interface", "eth0", "--dport", "5432")
ANSWERS = ("--protocol", "tcp", "--out-interface", "eth0", "--sport", "5432")


async def until_writable(stack: Stack) -> None:
    """Wait for the api to write."""

    def is_written() -> bool:
        with stack.client() as client:
            return client.post("/exhibits", json={"name": "Savanna"}).is_success

    async with asyncio.timeout(60):
        while not await asyncio.to_thread(is_written):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("rules", "seconds", "longest"),
    [
        pytest.param(
            # Nothing arrives; or statements arrive, and are executed, but no answer comes back.
            [("INPUT", *POSTGRES, "--jump", "DROP"), ("OUTPUT", *ANSWERS, "--jump", "DROP")] * rounds(quick=1, full=2),
            8.0,
            6.0,  # USER_TIMEOUT_MILLISECONDS, and a little
            id="drops-packets-silently",
        ),
        pytest.param(
            [("INPUT", *POSTGRES, "--jump", "REJECT", "--reject-with", "tcp-reset")] * rounds(quick=1, full=3),
            2.0,
            3.0,  # a session that is cut off in the middle of a transaction holds its locks until its keepalive
            id="resets-connections",
        ),
    ],
)
async def test_without_a_network_every_answer_is_503_in_time_and_soon_after_all_is_as_before(
    stack_at_work: Stack,
    record_property: Callable[[str, object], None],
    rules: list[tuple[str, ...]],
    seconds: float,
    longest: float,
) -> None:
    before, outages = identity(stack_at_work), []
    async with at_work(stack_at_work) as load:
        for rule in rules:
            await asyncio.sleep(UP_SECONDS)
            with firewall(stack_at_work, "db", *rule):
                broken = time.monotonic()
                await asyncio.sleep(seconds)
                healing = time.monotonic()
            outages.append((broken, healing, time.monotonic()))
        await until_ready(stack_at_work)
        ready = time.monotonic()
        await asyncio.sleep(2 * UP_SECONDS)
    assert identity(stack_at_work) == before
    samples = load.samples
    recoveries = [recovery(samples, healed) for *_, healed in outages]
    record_property("measured", figures(samples, recoveries))
    assert {sample.status for sample in samples} == {200, 201, 503}
    assert all(sample.retry_after for sample in samples if sample.status == 503)
    assert max(sample.took for sample in samples) < longest + STALL
    assert max(recoveries) < UP_SECONDS + STALL
    for broken, healing, _ in outages:
        assert {sample.status for sample in between(samples, broken, healing)} == {503}
    # Later, everything is as before.
    late = [sample for sample in besides_busy(samples) if sample.began > ready + UP_SECONDS]
    assert len(late) > MANY
    assert all(is_good(sample) for sample in late)


@contextmanager
def put_back(stack: Stack, network: str) -> Iterator[None]:
    """Afterwards, the standby is gone, and the database has its place again, whatever has happened."""
    try:
        yield
    finally:
        db = stack.container("db")
        run_docker("unpause", db, check=False)
        run_docker("rm", "--force", "--volumes", stack.container("standby"), check=False)
        if not stack.inspect("db")["NetworkSettings"]["Networks"]:
            docker("network", "connect", "--alias", "db", network, db)
        # Or it would count as unhealthy until it is asked again. To stop, it would wait for the standby to take WAL.
        docker("restart", "--time", "0", db)


async def test_another_server_behind_the_same_name_is_found_and_a_standby_is_read_from(
    stack_at_work: Stack,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    override = tmp_path / "compose.yml"
    copy = "pg_basebackup --host db --checkpoint fast --write-recovery-conf --pgdata $$PGDATA"
    standby = {
        "image": "postgres:18",
        "user": "postgres",
        "networks": ["database"],
        "environment": {"PGUSER": "postgres", "PGPASSWORD": "postgres"},
        "command": ["sh", "-c", f"{copy} && exec postgres -c listen_addresses=*"],
        "healthcheck": {
            "test": ["CMD", "pg_isready", "--host=127.0.0.1"],
            "start_period": "60s",
            "start_interval": "1s",
        },
    }
    override.write_text(json.dumps({"services": {"standby": standby}}))
    stack = stack_at_work
    old, new, network = stack.container("db"), stack.container("standby"), f"{stack.project}_database"
    with stack.changed(override), put_back(stack, network):
        allow = 'echo "host replication all all scram-sha-256" >>"$PGDATA/pg_hba.conf"'
        stack.exec("db", "sh", "-c", allow)
        stack.sql("postgres", "SELECT pg_reload_conf()")
        stack.compose("up", "--detach", "--wait", "--no-deps", "standby")
        before = identity(stack)
        async with at_work(stack) as load:
            await asyncio.sleep(UP_SECONDS)
            pause(old)  # it hangs, but its kernel still confirms packets
            frozen = time.monotonic()
            await asyncio.sleep(UP_SECONDS)
            docker("network", "disconnect", network, old)
            docker("network", "disconnect", network, new)
            docker("network", "connect", "--alias", "db", network, new)
            moved = time.monotonic()
            docker("unpause", old)
            await asyncio.sleep(3 * UP_SECONDS)
            promoting = time.monotonic()
            docker("exec", new, "psql", "--dbname=zoo", "--command=SELECT pg_promote()")
            promoted = time.monotonic()
            await until_writable(stack)
            writable = time.monotonic()
            await asyncio.sleep(2 * UP_SECONDS)
        assert identity(stack) == before
    await until_ready(stack)

    samples = load.samples
    written = [sample for sample in samples if sample.kind == "write"]
    recoveries = [recovery(samples, moved), recovery(written, promoted)]
    record_property("measured", figures(samples, recoveries))
    assert {sample.status for sample in samples} == {200, 201, 503}
    assert all(sample.retry_after for sample in samples if sample.status == 503)
    assert max(sample.took for sample in samples) < 11 + STALL  # the time that it hung, and USER_TIMEOUT_MILLISECONDS
    assert max(recoveries) < UP_SECONDS + STALL
    assert {sample.status for sample in between(samples, frozen, moved)} <= {503}
    # With the standby, before it was promoted.
    following = between(besides_busy(samples), moved + 2 * UP_SECONDS, promoting)
    assert {(sample.kind, sample.status) for sample in following} == {("read", 200), ("write", 503)}
    assert {sample.detail for sample in following} == {"", "The database is read-only: nothing can be written now"}
    late = [sample for sample in besides_busy(samples) if sample.began > writable + UP_SECONDS]
    assert len(late) > MANY
    assert all(is_good(sample) for sample in late)
