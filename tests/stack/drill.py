"""Clients at work on a stack, and tools for breaking it meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tests.live.clients import BUSY, Load, Sample, load_on, outcomes
from tests.rounds import rounds
from tests.stack.stack import TOOLS, Stack, docker

CLIENTS, ANIMALS = 16, 1_000
PAUSE = rounds(quick=0.5, full=0.02)  # seconds between an answer and the next request of a client
MANY = rounds(
    quick=2 * CLIENTS, full=100
)  # requests that show how it goes; a busy machine answers fewer in the same time
FILL = (
    "TRUNCATE exhibits, animals RESTART IDENTITY CASCADE;"
    "INSERT INTO exhibits (name) SELECT 'E' || n FROM generate_series(1, 100) n;"
    f"INSERT INTO animals (name, exhibit_id) SELECT 'A' || n, 1 + n % 100 FROM generate_series(1, {ANIMALS}) n"
)
WORKERS = 'cat "/proc/$(cut -d " " -f 1 /proc/1/task/1/children)"/task/*/children'  # init's child is gunicorn's master


@asynccontextmanager
async def at_work(stack: Stack, clients: int = CLIENTS) -> AsyncIterator[Load]:
    """Clients at work on the api, with these animals and no others; the api has already answered."""
    stack.sql("postgres", FILL)
    async with load_on(stack.port, clients, ANIMALS, PAUSE, stack.token) as load:
        yield load


async def until_ready(stack: Stack) -> None:
    """Wait for the api to serve."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(stack.is_ready):
            await asyncio.sleep(0.1)


def is_good(sample: Sample) -> bool:
    return sample.status in {200, 201}


def is_missed(sample: Sample) -> bool:
    """Whether the request has failed, other than by being refused on a busy machine, which loses nothing."""
    return not is_good(sample) and sample.detail != BUSY


def recovery(samples: list[Sample], since: float) -> float:
    """Seconds from `since`, a time of the monotonic clock, to the first good answer to a request sent after it."""
    return min(sample.ended for sample in samples if is_good(sample) and sample.began > since) - since


def between(samples: list[Sample], began: float, ended: float) -> list[Sample]:
    """The requests that were sent, and answered, between these times of the monotonic clock."""
    return [sample for sample in samples if began < sample.began < sample.ended < ended]


def figures(samples: list[Sample], recoveries: list[float]) -> str:
    """What a test has measured, for its report."""
    longest = max(sample.took for sample in samples)
    return f"{outcomes(samples)}, longest {longest:.2f} s, good again after {max(recoveries):.2f} s"


def identity(stack: Stack) -> tuple[Any, ...]:
    """A value that changes when the api, or a worker of it, is restarted."""
    api = stack.inspect("api")
    return api["Id"], api["State"]["StartedAt"], api["RestartCount"], workers(stack)


def workers(stack: Stack) -> list[str]:
    """The process ids of the api's workers, as seen in its container."""
    return stack.exec("api", "sh", "-c", WORKERS).stdout.split()


@contextmanager
def firewall(stack: Stack, service: str, *rule: str) -> Iterator[None]:
    """Apply `iptables -I RULE` to the service's container until the block ends."""
    run = ["run", "--rm", "--network", f"container:{stack.container(service)}", "--cap-add", "NET_ADMIN", TOOLS]
    docker(*run, "iptables", "-w", "-I", *rule)
    try:
        yield
    finally:
        docker(*run, "iptables", "-w", "-D", *rule)
