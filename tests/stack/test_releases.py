"""A new release of the api is rolled out while clients are at work."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.rounds import STALL, rounds
from tests.stack.drill import ANIMALS, BUSY, at_work, figures, is_good, recovery, until_ready
from tests.stack.stack import PREFIX, RELEASE, Stack, docker

NEXT = f"{RELEASE}-next"
CONNECTED = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename = 'zoo_api'"
GAP = rounds(quick=60, full=8)  # seconds in which one stops and the other starts, on a busy machine
MADE = f"SELECT count(*) FROM animals WHERE id > {ANIMALS} AND name = 'Amara'"  # by clients at work, in any test


@pytest.fixture
def next_release() -> Iterator[str]:
    yield NEXT
    docker("image", "rm", "--force", *(f"{PREFIX}{target}:{NEXT}" for target in ("api", "migrator", "proxy")))


async def test_one_container_is_replaced_within_seconds_and_no_accepted_request_is_lost(
    stack_at_work: Stack, next_release: str, record_property: Callable[[str, object], None]
) -> None:
    stack = stack_at_work
    assert stack.signed_in  # by the release that is there
    made = int(stack.sql("postgres", MADE).stdout)
    with stack.changed(RELEASE=next_release):
        async with at_work(stack) as load:
            await asyncio.sleep(2)
            began = time.monotonic()
            await asyncio.to_thread(stack.compose, "up", "--detach", "--no-deps", "--build", "api")
            await until_ready(stack)
            await asyncio.sleep(2)
        samples = load.samples
        missed = [sample for sample in samples if not is_good(sample)]
        first, last = min(sample.began for sample in missed), max(sample.ended for sample in missed)
        gap = recovery(samples, last) + last - first
        record_property("measured", f"{figures(samples, [gap])}, of which without an answer {gap:.2f} s")
        # Only requests that Docker's own proxy could not pass on, or that a starting api on a busy machine refused:
        # it answered all that it executed.
        assert {sample.detail for sample in missed} <= {
            "ConnectionRefusedError", "ConnectionResetError", "IncompleteReadError", BUSY,
        }  # fmt: skip
        assert stack.sql("postgres", MADE).stdout == f"{made + sum(sample.status == 201 for sample in samples)}\n"
        assert first > began
        assert gap < GAP
        assert stack.sql("postgres", CONNECTED).stdout == f"api@{next_release}\n"


async def test_two_replicas_behind_the_proxy_are_replaced_and_no_request_fails(
    replicas: Stack, next_release: str, record_property: Callable[[str, object], None]
) -> None:
    made = int(replicas.sql("postgres", MADE).stdout)
    releases = rounds(quick=[next_release], full=[next_release, RELEASE])
    async with at_work(replicas) as load:
        await asyncio.sleep(2)
        began = time.monotonic()
        for release in releases:
            with replicas.changed(RELEASE=release):
                await asyncio.to_thread(roll, replicas)
        took = (time.monotonic() - began) / len(releases)
        await asyncio.sleep(2)
    samples = load.samples
    record_property("measured", f"{figures(samples, [0])}, {took:.1f} s a release")
    assert {sample.status for sample in samples} == {200, 201}
    assert replicas.sql("postgres", MADE).stdout == f"{made + sum(sample.status == 201 for sample in samples)}\n"
    assert replicas.sql("postgres", CONNECTED).stdout == f"api@{releases[-1]}\n"
    assert max(sample.took for sample in samples) < 5 + STALL


def test_a_release_that_does_not_get_ready_stops_at_the_first_replica(replicas: Stack, tmp_path: Path) -> None:
    broken = tmp_path / "compose.yml"
    broken.write_text('services: {api: {command: ["false"]}}\n')
    before = replicas.inspect("api-2")["Id"]
    with replicas.changed(broken), pytest.raises(subprocess.CalledProcessError):
        roll(replicas)
    assert replicas.inspect("api-2")["Id"] == before
    assert [replicas.get("/animals").status_code for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("service", ["api-2", "proxy"])
def test_a_container_has_no_rights_that_it_does_not_need_and_a_limited_log(replicas: Stack, service: str) -> None:
    host = replicas.inspect(service)["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}


def roll(stack: Stack) -> None:
    """Roll out the stack's release, as people do."""
    subprocess.run(
        [ROOT / "deploy" / "rolling-restart.sh"],
        env=stack.environment | stack.names,
        capture_output=True,
        check=True,
        timeout=300,
    )
