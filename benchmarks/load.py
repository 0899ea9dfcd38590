"""Requests in large numbers, sent by wrk."""

import json
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stack import App

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("load.lua")
TRIES = 5


class LoadError(Exception):
    """Nothing was measured: wrk is missing, or a request failed. The message says which."""


@dataclass(frozen=True)
class Request:
    """A request that is repeated: `count` times, with 1 to `count` for `{id}` in its path, and then from 1 again."""

    path: str
    method: str = "GET"
    count: int = 1
    token: str = ""
    body: str = ""
    header: str = ""  # `name: value`

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Load:
    """Answers, answers per second, the server's CPU seconds per answer, median and 99th percentile in seconds."""

    answers: float
    rate: float
    cpu: float
    p50: float
    p99: float


def send(app: App, *requests: Request, seconds: int, connections: int = CONNECTIONS) -> Load:
    """Send the requests in turn, for `seconds`; LoadError unless all succeed.

    It tries again if there was no answer at all within that time, which happens on a busy machine.
    """
    for _ in range(TRIES):
        before = app.cpu_seconds()
        found = _wrk(app, requests, seconds, connections)
        cpu = app.cpu_seconds() - before
        if answers := found["requests"]:
            return Load(answers, answers / found["seconds"], cpu / answers, found["p50"], found["p99"])
    raise LoadError(f"{app.name}, {requests[0]}: no answer within {seconds} s, {TRIES} times")


def _wrk(app: App, requests: Sequence[Request], seconds: int, connections: int) -> dict[str, float]:
    """What load.lua reports; LoadError if an answer has a status of 400 or more, or a connection breaks."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadError("wrk is missing: apt-get install wrk")
    arguments = [part for r in requests for part in (r.method, r.path, str(r.count), r.token, r.body, r.header)]
    done = subprocess.run(
        [
            wrk, "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s",
            f"--script={SCRIPT}", app.url, "--", *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise LoadError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    found: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    if found["refused"] or found["broken"]:
        raise LoadError(
            f"{app.name}, {requests[0]}: of {found['requests']} answers {found['refused']} have a status"
            f" of 400 or more, and {found['broken']} requests got no answer"
        )
    return found


def median(rounds: Sequence[Load]) -> Load:
    """The median of each figure."""
    return Load(*(statistics.median(getattr(found, name) for found in rounds) for name in Load.__dataclass_fields__))
