"""A new release of the api, rolled out while clients are at work."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stack.drill import ANIMALS, at_work, figures, is_good, recovery
from tests.stack.stack import RELEASE, REPLICAS, Stack, docker, running

NEXT = f"{RELEASE}-next"
CONNECTED = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename = 'zoo_api'"
MADE = f"SELECT count(*) FROM animals WHERE id > {ANIMALS}"


@pytest.fixture
def next_release() -> Iterator[str]:
    yield NEXT
    docker("image", "rm", "--force", f"zoo-api:{NEXT}", f"zoo-migrator:{NEXT}", f"zoo-proxy:{NEXT}")


async def test_of_one_container_nothing_that_was_begun_is_lost_and_the_next_one_serves_within_seconds(
    images: list[str],  # noqa: ARG001 - built before
    next_release: str,
    record_property: Callable[[str, object], None],
) -> None:
    with running(Stack()) as stack:
        async with at_work(stack) as load:
            await asyncio.sleep(2)
            stack.environment["RELEASE"] = next_release
            began = time.monotonic()
            await asyncio.to_thread(stack.compose, "up", "--detach", "--no-deps", "--build", "api")
            await asyncio.sleep(5)
        samples = load.samples
        missed = [sample for sample in samples if not is_good(sample)]
        first, last = min(sample.began for sample in missed), max(sample.ended for sample in missed)
        gap = recovery(samples, last) + last - first
        record_property("measured", f"{figures(samples, [gap])}, of which without an answer {gap:.2f} s")
        # Only what Docker's own proxy could not hand on: the api answered all that it has done.
        assert {sample.status for sample in missed} == {0}
        assert {sample.detail for sample in missed} <= {
            "ConnectionRefusedError", "ConnectionResetError", "IncompleteReadError",
        }  # fmt: skip
        assert stack.sql("postgres", MADE).stdout == f"{sum(sample.status == 201 for sample in samples)}\n"
        assert first > began
        assert gap < 8
        assert stack.sql("postgres", CONNECTED).stdout == f"api@{next_release}\n"


async def test_of_two_replicas_behind_the_proxy_no_request_notices_it(
    images: list[str],  # noqa: ARG001 - built before
    next_release: str,
    record_property: Callable[[str, object], None],
) -> None:
    stack = Stack(REPLICAS)
    with running(stack):
        async with at_work(stack) as load:
            await asyncio.sleep(2)
            began = time.monotonic()
            for release in (next_release, RELEASE):
                stack.environment["RELEASE"] = release
                await asyncio.to_thread(roll, stack)
            took = (time.monotonic() - began) / 2
            await asyncio.sleep(2)
        samples = load.samples
        record_property("measured", f"{figures(samples, [0])}, {took:.1f} s a release")
        assert {sample.status for sample in samples} == {200, 201}
        assert stack.sql("postgres", MADE).stdout == f"{sum(sample.status == 201 for sample in samples)}\n"
        assert stack.sql("postgres", CONNECTED).stdout == f"api@{RELEASE}\n"
        assert max(sample.took for sample in samples) < 5


def test_a_release_that_does_not_get_ready_stops_at_the_first_replica(
    images: list[str],  # noqa: ARG001 - built before
    tmp_path: Path,
) -> None:
    broken = tmp_path / "compose.yml"
    broken.write_text('services: {api: {command: ["false"]}}\n')
    stack = Stack(REPLICAS)
    with running(stack):
        for service in ("api-2", "proxy"):
            host = stack.inspect(service)["HostConfig"]
            assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
            assert "no-new-privileges:true" in host["SecurityOpt"]
            assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
        before = stack.container("api-2")
        stack.files = (*stack.files, broken)
        with pytest.raises(subprocess.CalledProcessError):
            roll(stack)
        assert stack.container("api-2") == before
        assert [stack.get("/animals").status_code for _ in range(20)] == [200] * 20


def roll(stack: Stack) -> None:
    """Roll the stack's release out, as people do."""
    names = {"COMPOSE_PROJECT_NAME": stack.project, "COMPOSE_FILE": ":".join(map(str, stack.files))}
    subprocess.run(
        [ROOT / "deploy" / "rolling-restart.sh"],
        env=stack.environment | names,
        capture_output=True,
        check=True,
        timeout=300,
    )
