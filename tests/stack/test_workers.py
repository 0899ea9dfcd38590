"""A worker of the api is killed, or hangs, while clients are at work."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise

from tests.rounds import STALL, rounds
from tests.stack.drill import CLIENTS, MANY, at_work, figures, is_good, is_missed, recovery, workers
from tests.stack.stack import Stack

TIMEOUT = 10  # of deploy/gunicorn.conf.py


def signal(stack: Stack, name: str, worker: str) -> float:
    """Send a signal to a worker; returns the time."""
    stack.exec("api", "sh", "-c", f"kill -{name} {worker}")
    return time.monotonic()


async def wait_for_another(stack: Stack, before: list[str]) -> None:
    """Wait until there are as many workers as `before`, and at least one is new."""
    async with asyncio.timeout(3 * TIMEOUT):
        while len(now := workers(stack)) < len(before) or set(now) == set(before):
            await asyncio.sleep(1)  # Docker starts a process for each look


async def test_a_worker_that_is_killed_loses_only_the_requests_under_way_on_it(
    stack_at_work: Stack, record_property: Callable[[str, object], None]
) -> None:
    kills = []
    async with at_work(stack_at_work) as load:
        for _ in range(rounds(quick=1, full=3)):
            await asyncio.sleep(2)
            before = workers(stack_at_work)
            kills.append(signal(stack_at_work, "KILL", before[0]))
            await wait_for_another(stack_at_work, before)
        await asyncio.sleep(2)
    samples = load.samples
    lost = list(filter(is_missed, samples))
    record_property("measured", figures(samples, [recovery(samples, kill) for kill in kills]))
    assert {sample.status for sample in lost} == {0}
    for kill, until in pairwise([*kills, float("inf")]):
        # On connections to this worker: at most one per client, and all at once.
        missed = [sample for sample in lost if kill - 1 < sample.ended < until - 1]
        assert 0 < len(missed) <= CLIENTS
        assert max(sample.ended for sample in missed) < kill + 1 + STALL
    assert max(sample.took for sample in samples) < 5 + STALL


async def test_a_worker_that_hangs_is_replaced_and_the_others_serve_on(
    stack_at_work: Stack, record_property: Callable[[str, object], None]
) -> None:
    async with at_work(stack_at_work) as load:
        await asyncio.sleep(2)
        before = workers(stack_at_work)
        hung = signal(stack_at_work, "STOP", before[0])
        await wait_for_another(stack_at_work, before)
        replaced = time.monotonic()
        await asyncio.sleep(2)
    samples = load.samples
    lost = list(filter(is_missed, samples))
    served = [sample for sample in samples if is_good(sample) and hung < sample.began < sample.ended < replaced]
    measured = f"{figures(samples, [recovery(samples, hung)])}, replaced after {replaced - hung:.2f} s"
    record_property("measured", measured)
    assert {sample.status for sample in lost} == {0}
    assert 0 < len(lost) <= CLIENTS  # one for each client that was connected to it
    assert max(sample.took for sample in samples) < TIMEOUT + 4 + STALL
    assert replaced - hung < TIMEOUT + 8 + STALL
    assert len(served) > MANY
