"""Requests by the thousand, from wrk."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("load.lua")


class LoadError(Exception):
    """Nothing was measured: wrk is missing, or not every answer was a good one. The message says which."""


@dataclass(frozen=True)
class Request:
    """What is asked again and again. `{id}` in `path` becomes 1 to `count` in turn."""

    method: str = "GET"
    path: str = "/animals/{id}"
    count: int = 1
    token: str = ""
    body: str = ""


@dataclass(frozen=True)
class Load:
    """What wrk saw: how many answers in how many seconds, and after how many seconds they came."""

    requests: int
    seconds: float
    p50: float
    p99: float


def send(url: str, request: Request, seconds: int) -> Load:
    """Send `request` on all connections for `seconds`; LoadError unless every answer has a status below 400."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadError("wrk is missing: apt-get install wrk")
    done = subprocess.run(
        [
            wrk, "--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s", "--timeout=10s",
            f"--script={SCRIPT}", url, "--",
            request.method, request.path, str(request.count), request.token, request.body,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise LoadError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    found = json.loads(done.stderr.splitlines()[-1])
    refused, broken = found.pop("refused"), found.pop("broken")
    if refused or broken or not found["requests"]:
        raise LoadError(
            f"{request.method} {request.path}: of {found['requests']} answers {refused} have a status of 400 or more;"
            f" {broken} requests were not answered at all"
        )
    return Load(**found)
