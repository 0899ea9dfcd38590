"""The metrics of gunicorn's processes, on a port of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import SECONDS, Cause
from local.postgres import Server
from tests.conftest import find_free_port
from tests.python import ROOT, run

PATIENCE = 60  # seconds, on a busy machine
SERIES = len(SECONDS) + 3  # of a route, method and class of status: the buckets, those above, the count and the sum


@dataclass
class Measured:
    """An api of two workers, and what it serves of its metrics."""

    master: subprocess.Popen[bytes]
    port: int
    metrics_port: int

    def sum(self, name: str, **labels: str) -> float | None:
        """The sum of the samples of this name that have these labels, among others; None without any."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").raise_for_status().text
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    def series(self, name: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """The names and labels of all samples whose name begins so."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").raise_for_status().text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {(found.name, frozenset(found.labels.items())) for found in samples if found.name.startswith(name)}

    def get(self, path: str) -> int:
        with httpx.Client() as client:  # a connection of its own, which either worker accepts
            return client.get(f"http://127.0.0.1:{self.port}{path}").status_code

    def children(self) -> tuple[list[psutil.Process], psutil.Process]:
        """The workers, and what serves the metrics; IndexError while nothing does."""
        children = psutil.Process(self.master.pid).children()
        serving = [child for child in children if "api.server.metrics" in child.cmdline()]
        return [child for child in children if child not in serving], serving[0]


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if is_so():
                return
        except (httpx.TransportError, IndexError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def measured(server: Server, database: str, log: Path, *before: str) -> Iterator[Measured]:
    """It is started as people do: the library decides when it is imported whether it writes files.

    `before` has arguments of Python before those of the api.
    """
    port, metrics_port = find_free_port(), find_free_port()
    settings = {"PATH": os.environ["PATH"], "METRICS_PORT": str(metrics_port), **server.environment(database)}
    settings["OTEL_PROPAGATORS"] = "b3"  # of no effect, though the package that has it is not there
    command = [sys.executable, *before, "-m", "api.server", "--bind", f"127.0.0.1:{port}"]
    with log.open("wb") as output, subprocess.Popen(command, cwd=ROOT, env=settings, stderr=output) as master:
        try:
            measured = Measured(master, port, metrics_port)
            wait_until(lambda: len(measured.children()[0]) == 2 and measured.sum("ready") is not None)
            yield measured
        finally:
            master.terminate()


@pytest.fixture
def api(server: Server, database: str, tmp_path: Path) -> Iterator[Measured]:
    with measured(server, database, tmp_path / "log") as found:
        yield found


def folders() -> set[str]:
    return {entry.name for entry in Path("/dev/shm").glob("api-metrics-*")}


def test_the_requests_of_all_workers_are_served_together_and_not_on_the_public_port(api: Measured) -> None:
    for number in range(20):
        assert api.get(f"/animals/{1_000_000 + number}") == 404
    labels = {"route": "/animals/{animal_id}", "method": "GET", "status": "4xx"}
    assert api.sum("http_request_duration_seconds_count", **labels) == 20
    assert api.sum("http_request_duration_seconds_bucket", le="+Inf", **labels) == 20
    # An increase is not seen in the first value of a series: it begins before anything fails.
    assert api.sum("http_request_duration_seconds_count", **{**labels, "status": "5xx"}) == 0
    assert {cause: api.sum("refusals_total", cause=cause) for cause in get_args(Cause)} == dict.fromkeys(
        get_args(Cause), 0
    )
    series = api.series("http_request_duration_seconds")
    assert len([found for _, found in series if found >= labels.items()]) == SERIES
    for number in range(100):
        api.get(f"/animals/{2_000_000 + number}")
    assert api.series("http_request_duration_seconds") == series
    too_large = httpx.get(f"http://127.0.0.1:{api.port}/animals", headers={"X-Large": "x" * 40_000})
    assert too_large.status_code == 431
    assert api.sum("http_request_duration_seconds_count", route="", status="4xx") == 1
    assert api.get("/metrics") == 404
    wait_until(lambda: api.sum("ready") == 1)
    assert api.sum("release_info") == 1
    wait_until(lambda: api.sum("db_pool_connections", state="idle") is not None)


def test_what_a_killed_worker_has_counted_stays_and_what_was_so_in_it_does_not(api: Measured) -> None:
    wait_until(lambda: (api.sum("db_pool_connections") or 0) > 0)
    for _ in range(10):
        api.get("/animals/1000000")
    (folder,) = (folder for folder in folders() if str(api.master.pid) in held_by(folder))
    for worker in api.children()[0]:
        old = {path.name for path in (Path("/dev/shm") / folder).glob(f"gauge_live*_{worker.pid}.db")}
        assert old
        worker.kill()
        wait_until(partial(is_without, folder, old))
    for _ in range(2):  # also when their files are one already
        assert api.sum("http_request_duration_seconds_count", route="/animals/{animal_id}") == 10
    there = {path.stem for path in (Path("/dev/shm") / folder).iterdir()}
    assert {"counter_ended", "histogram_ended"} <= there
    assert all(psutil.pid_exists(int(name.rpartition("_")[2])) for name in there if not name.endswith("_ended"))


def is_without(folder: str, names: set[str]) -> bool:
    return not names & {path.name for path in (Path("/dev/shm") / folder).iterdir()}


def held_by(folder: str) -> str:
    return " ".join(path.stem.rpartition("_")[2] for path in (Path("/dev/shm") / folder).iterdir())


def test_what_serves_them_begins_anew_if_it_is_killed_and_the_api_goes_on(api: Measured) -> None:
    for signum in (signal.SIGKILL, signal.SIGTERM):
        _, serving = api.children()
        serving.send_signal(signum)
        wait_until(partial(is_another, api, serving))
        assert api.get(f"/animals/{1_000_000 + signum}") == 404
    labels = {"route": "/animals/{animal_id}", "method": "GET", "status": "4xx"}
    assert api.sum("http_request_duration_seconds_count", **labels) == 2


def is_another(api: Measured, before: psutil.Process) -> bool:
    return api.children()[1] != before and api.sum("ready") is not None


# A start of the process that fails, and one during which another child of gunicorn's ends.
STARTS = """
import runpy, signal, sys, time
import psutil
serve = runpy.run_path("deploy/gunicorn.conf.py")["_serve_metrics"]
signal.signal(signal.SIGCHLD, lambda *_: None)
starts = 0
def watch(event, _):
    global starts
    if event == "subprocess.Popen":
        starts += 1
        if starts == 2:
            raise OSError(12, "Cannot allocate memory")
        if starts == 3:
            signal.raise_signal(signal.SIGCHLD)
sys.addaudithook(watch)
serve(["sleep", "60"])
psutil.Process().children()[0].kill()
while starts < 2:
    time.sleep(0.01)
signal.raise_signal(signal.SIGCHLD)
children = psutil.Process().children()
print(starts, len([child for child in children if child.status() != psutil.STATUS_ZOMBIE]))
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for child in children:
    child.kill()
"""


def test_one_process_serves_them_also_after_a_start_that_failed_or_was_interrupted() -> None:
    done = run("-c", STARTS, env={"PATH": os.environ["PATH"]})
    assert done.stdout == "3 1\n", done.stderr


def test_where_there_is_no_ipv6_they_are_served_by_ipv4(server: Server, database: str, tmp_path: Path) -> None:
    with measured(server, database, tmp_path / "log", "-m", "tests.without_ipv6", sys.executable) as api:
        assert api.get("/health") == 200


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_api_ends(
    server: Server, database: str, tmp_path: Path, signum: signal.Signals
) -> None:
    with measured(server, database, tmp_path / "log") as api:
        _, serving = api.children()
        mine = {folder for folder in folders() if str(api.master.pid) in held_by(folder)}
        assert len(mine) == 1
        api.master.send_signal(signum)
        api.master.wait(timeout=60)
    wait_until(lambda: not serving.is_running())
    assert not mine & folders()
