"""The api in a process of its own, on a port of its own, as people run it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.conftest import Log
from tests.python import HANGS, ROOT, Python

START_SECONDS = 120  # on a busy machine
READY = "/health/ready"


@contextmanager
def live_api(environment: dict[str, str], port: int, cwd: Path = ROOT) -> Iterator[str]:
    """The address of an api that serves with these settings until the block ends."""
    command = ["uvicorn", "--factory", "api.main:create_app", "--port", str(port), "--log-level", "warning"]
    process = Python(*command, cwd=cwd, env=os.environ | environment)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address)
        yield address
    finally:
        process.terminate()
        assert (
            process.wait(timeout=HANGS) == -signal.SIGTERM
        )  # uvicorn shuts down, then ends itself by the signal it got


@contextmanager
def gunicorn(environment: dict[str, str], port: int, log: Path, *options: str, cwd: Path = ROOT) -> Iterator[Python]:
    """gunicorn's master, serving the api of a checkout as in its image with all its workers, until the block ends."""
    address = f"127.0.0.1:{port}"
    command = ["api.server", "--bind", address, *options]
    settings = {"PATH": os.environ["PATH"], "WEB_CONCURRENCY": "2", **environment}
    with log.open("wb") as output, Python(*command, cwd=cwd, env=settings, stdout=output, stderr=output) as process:
        try:
            wait_until_ready(f"http://{address}")  # one of them
            deadline = time.monotonic() + START_SECONDS
            while len(psutil.Process(process.pid).children()) < int(settings["WEB_CONCURRENCY"]):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            assert process.wait(timeout=HANGS) == 0, log.read_text()


def of_requests(lines: list[Log]) -> list[Log]:
    """The lines of requests, without those of probes, which are logged if they fail or give up on a busy machine."""
    requests = [line for line in lines if line["event"] == "request"]
    return [line for line in requests if line["status"] < 400 or line["path"] != READY]


def wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            # Loading certificates for TLS, which is not used, would take longer than the request.
            httpx.get(f"{address}{READY}", timeout=5, verify=False).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
