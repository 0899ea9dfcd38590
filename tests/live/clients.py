"""Clients at work on an api, in a process of their own, and the outcome of each of their requests."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.conftest import ROOT
from tests.rounds import rounds

PAUSE = rounds(quick=0.1, full=0.02)  # seconds; clients that ask more often take CPU from what is tested
BUSY = "The server is busy: no database connection was free in time"


@dataclass(frozen=True)
class Sample:
    """A request. Times are seconds; `status` is 0 if there was no complete answer, and `detail` what came instead."""

    kind: str
    began: float
    took: float
    status: int
    retry_after: str | None
    detail: str

    @property
    def ended(self) -> float:
        return self.began + self.took


@dataclass
class Load:
    """Clients at work; `marks` are the names of phases, with their beginning and end."""

    process: "asyncio.subprocess.Process"
    samples: list[Sample] = field(default_factory=list)  # filled when the clients have ended
    marks: list[tuple[str, float, float]] = field(default_factory=list)

    async def during(self, what: str, work: Callable[[], object]) -> None:
        """Do `work` in a thread, and note when."""
        began = time.monotonic()
        await asyncio.to_thread(work)
        self.marks.append((what, began, time.monotonic()))

    async def switch(self, port: int) -> None:
        """Move all clients to another api, as a load balancer does."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"switch {port}\n".encode())
        assert await self.process.stdout.readline() == b"switched\n"


@asynccontextmanager
async def load_on(
    port: int, clients: int, animals: int, pause: float = PAUSE, token: str = "keeper"
) -> AsyncIterator[Load]:
    """Clients of the api on `port` until the block ends: each waits for its answer, then for `pause` seconds."""
    arguments = [str(argument) for argument in (port, token, clients, animals, pause)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "tests/live/load.py"), *arguments,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 30,
    )  # fmt: skip
    load = Load(process)
    try:
        yield load
    finally:
        out, _ = await process.communicate(b"")  # closes its input, which ends it
    load.samples += [Sample(*sample) for sample in json.loads(out)]


def besides_busy(samples: list[Sample]) -> list[Sample]:
    """The requests without those that a busy machine has refused, whatever else is the matter."""
    return [sample for sample in samples if sample.detail != BUSY]


def outcomes(samples: Iterable[Sample]) -> dict[str, int]:
    """The number of each answer: `200`, `503 ...` with its detail, or what came instead of an answer."""
    return dict(Counter(f"{sample.status or ''} {sample.detail}".strip() for sample in samples))


def percentile(samples: Iterable[Sample], percent: int) -> float:
    """The seconds within which `percent` of the requests were answered."""
    return statistics.quantiles([sample.took for sample in samples], n=100, method="inclusive")[percent - 1]
