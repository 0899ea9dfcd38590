"""The metrics of gunicorn's processes, on a port of their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import httpx
import psutil
import pytest
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from api.main import create_app
from api.metrics import METHODS, SECONDS, Cause
from api.server.metrics import Written
from local.postgres import Server
from tests.ports import find_free_port
from tests.python import HANGS, ROOT, run
from tests.rounds import rounds

NOBODY = 10_000_000  # more than any process's id
SCRAPES = rounds(quick=16, full=50)  # at once
SERIES = len(SECONDS) + 3  # of a route, method and class of status: the buckets, those above, the count and the sum

# What no label may be made of. None has a body; each is sent as it is, with a Host.
ODD = [
    *("BREW /animals", "get /animals", "PROPFIND /animals/1", "TRACE /animals", "CONNECT zoo:80", "PRI *", "OPTIONS *"),
    *("HEAD /animals/1", "OPTIONS /animals/1", "DELETE /animals/1", "POST /animals/1/2/3", "PUT /", "HEAD /nothing"),
    *(
        "GET /animals%2F1",
        "GET //animals//1",
        "GET /animals/../staff",
        "GET /animals/%00",
        "GET /animals/%ff%fe",
        "GET *",
    ),
    *("GET /animals/{animal_id}", "GET /animals/%7Banimal_id%7D", "GET /animals/1;x", "GET /animals/", "GET animals"),
    *("GET http://elsewhere/animals", "GET /animals/1/nothing", "GET /animals/" + "9" * 5_000, "GET /" + "a" * 70_000),
    *("GET /animals?" + "x=1&" * 500, "GET /health/" + "x" * 500, "GET /metrics", "GET /docs/../metrics"),
]
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
BROKEN = [
    *(f"{line} HTTP/1.1\r\nHost: zoo\r\nConnection: close\r\n\r\n" for line in ODD),
    *(
        "GET /animals HTTP/1.0\r\n\r\n",
        "GET /animals HTTP/3.7\r\nHost: zoo\r\n\r\n",
        "GET /animals\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
    ),
    f"GET /animals HTTP/1.1\r\nHost: zoo\r\n{UPGRADE}Connection: close\r\n\r\n",
    f"GET /animals/ws HTTP/1.1\r\nHost: zoo\r\n{UPGRADE}\r\n",
    f"GET /animals HTTP/1.1\r\nHost: zoo\r\nX: {'x' * 40_000}\r\n\r\n",
]
LEAVING = [
    'POST /animals HTTP/1.1\r\nHost: zoo\r\nContent-Length: 100\r\n\r\n{"name"',
    "GET /animals?limit=100 HTTP/1.1\r\nHost: zoo\r\n\r\n",
    "GET /ani",
]


@dataclass
class Measured:
    """An api of two workers, and what it serves of its metrics."""

    master: subprocess.Popen[bytes]
    port: int
    metrics_port: int

    def samples(self, name: str) -> list[Sample]:
        """Those whose name begins so."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=HANGS).raise_for_status().text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return [sample for sample in samples if sample.name.startswith(name)]

    def sum(self, name: str, **labels: str) -> float | None:
        """The sum of the samples of this name that have these labels, among others; None without any."""
        samples = (sample for sample in self.samples(name) if sample.name == name)
        found = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
        return sum(found) if found else None

    def wait_until_counted(self, requests: int, **labels: str) -> None:
        """A request is counted once it has been answered: its client may look earlier."""
        wait_until(lambda: self.sum("http_request_duration_seconds_count", **labels) == requests)

    def series(self, name: str) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """The names and labels of all samples whose name begins so."""
        return {(found.name, frozenset(found.labels.items())) for found in self.samples(name)}

    def labels(self, name: str) -> set[str]:
        """The values of this label, of requests."""
        return {sample.labels[name] for sample in self.samples("http_request_duration_seconds")}

    def send(self, request: str, *, waits: bool = True) -> None:
        """Send this, and wait for the end of the connection, or end it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=HANGS) as connection, suppress(OSError):
            connection.sendall(request.encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
            while waits and connection.recv(65536):
                pass

    def get(self, path: str) -> int:
        with httpx.Client(timeout=HANGS) as client:  # a connection of its own, which either worker accepts
            return client.get(f"http://127.0.0.1:{self.port}{path}").status_code

    def children(self) -> tuple[list[psutil.Process], psutil.Process]:
        """The workers, and what serves the metrics; IndexError while nothing does."""
        workers: list[psutil.Process] = []
        serving: list[psutil.Process] = []
        for child in psutil.Process(self.master.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                (serving if "api.server.metrics" in child.cmdline() else workers).append(child)
        return workers, serving[0]


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANGS
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


@pytest.fixture(scope="module")
def api(server: Server, worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """For tests that each count the requests of another route: a start takes longer than they do.

    Nothing is left when it ends.
    """
    with measured(server, worker_database, tmp_path_factory.mktemp("metrics") / "log") as found:
        yield found
        require_that_nothing_is_left_of(found, signal.SIGTERM)


def folders() -> set[str]:
    return {entry.name for entry in Path("/dev/shm").glob("api-metrics-*")}


def test_the_requests_of_all_workers_are_served_together_and_not_on_the_public_port(api: Measured) -> None:
    require_that_failures_of_each_route_begin_at_0(api)
    for number in range(20):
        assert api.get(f"/animals/{1_000_000 + number}") == 404
    labels = {"route": "/animals/{animal_id}", "method": "GET", "status": "4xx"}
    api.wait_until_counted(20, **labels)
    assert api.sum("http_request_duration_seconds_bucket", le="+Inf", **labels) == 20
    assert {cause: api.sum("refusals_total", cause=cause) for cause in get_args(Cause)} == dict.fromkeys(
        get_args(Cause), 0
    )
    series = api.series("http_request_duration_seconds")
    assert len([found for _, found in series if found >= labels.items()]) == SERIES
    for number in range(100):
        api.get(f"/animals/{2_000_000 + number}")
    assert api.series("http_request_duration_seconds") == series
    too_large = httpx.get(f"http://127.0.0.1:{api.port}/animals", headers={"X-Large": "x" * 40_000}, timeout=HANGS)
    assert too_large.status_code == 431
    api.wait_until_counted(1, route="", status="4xx")
    assert api.get("/metrics") == 404
    wait_until(lambda: api.sum("ready") == 1)
    assert api.sum("release_info") == 1
    wait_until(lambda: api.sum("db_pool_connections", state="idle") is not None)
    require_that_nothing_odd_becomes_a_label(api)
    require_that_the_port_serves_metrics_and_nothing_else(api)


def require_that_failures_of_each_route_begin_at_0(api: Measured) -> None:
    """An increase is not seen in the first value of a series: here, that of a first request that has failed."""
    routes = [route for route in create_app().routes if isinstance(route, APIRoute)]
    failed = [
        sample for sample in api.samples("http_request_duration_seconds_count") if sample.labels["status"] == "5xx"
    ]
    begun = {(sample.labels["route"], sample.labels["method"]) for sample in failed}
    assert {(route.path, method) for route in routes for method in route.methods or ()} <= begun
    assert {sample.value for sample in failed} == {0}


def require_that_nothing_odd_becomes_a_label(api: Measured) -> None:
    routes = api.labels("route") | {""}
    for request in BROKEN:
        api.send(request)
    for request in LEAVING:
        api.send(request, waits=False)
    wait_until(lambda: api.sum("http_requests_in_flight") == 0)
    assert api.labels("route") <= routes
    assert api.labels("method") <= METHODS | {"other"}
    assert api.labels("status") <= {"2xx", "3xx", "4xx", "5xx"}
    counted = [sample for sample in api.samples("http_request_duration_seconds_count") if sample.value]
    assert [sample.labels for sample in counted if sample.labels["status"] == "5xx"] == []


def require_that_the_port_serves_metrics_and_nothing_else(api: Measured) -> None:
    address = f"http://127.0.0.1:{api.metrics_port}/metrics"
    with httpx.Client(timeout=HANGS) as client:
        refused = [client.request(method, address).status_code for method in ("HEAD", "POST", "PUT", "DELETE", "BREW")]
        assert refused == [405] * 5
        for path in ("/../../etc/passwd", "/animals", "/%00"):  # prometheus-client has one answer to all
            assert client.get(f"http://127.0.0.1:{api.metrics_port}{path}").text.startswith("# HELP ")
        text = client.get(address).text
    if shutil.which("promtool") is not None or os.environ.get("CI"):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_what_a_killed_worker_has_counted_stays_and_what_was_so_in_it_does_not(api: Measured) -> None:
    wait_until(lambda: (api.sum("db_pool_connections") or 0) > 0)
    for _ in range(10):
        api.get("/exhibits/1000000")
    api.wait_until_counted(10, route="/exhibits/{exhibit_id}")
    (folder,) = (folder for folder in folders() if str(api.master.pid) in held_by(folder))
    ended = threading.Event()
    with ThreadPoolExecutor(SCRAPES) as threads:
        scrapes = [threads.submit(scrape_until, ended, api) for _ in range(SCRAPES)]
        try:
            kill_workers(api, folder)
        finally:
            ended.set()
        assert {status for scrape in scrapes for status in scrape.result()} == {200}
    for _ in range(2):  # also when their files are one already
        assert api.sum("http_request_duration_seconds_count", route="/exhibits/{exhibit_id}") == 10
    there = {path.stem for path in (Path("/dev/shm") / folder).iterdir()}
    assert {"counter_ended", "histogram_ended"} <= there
    assert all(psutil.pid_exists(int(name.rpartition("_")[2])) for name in there if not name.endswith("_ended"))


def kill_workers(api: Measured, folder: str) -> None:
    """One after the other, each once the one before is gone."""
    for worker in api.children()[0]:
        old = {path.name for path in (Path("/dev/shm") / folder).glob(f"gauge_live*_{worker.pid}.db")}
        assert old
        worker.kill()
        wait_until(partial(is_without, folder, old))


def scrape_until(ended: threading.Event, api: Measured) -> set[int]:
    """The statuses of at least one answer."""
    with httpx.Client(timeout=HANGS) as client:
        found = {client.get(f"http://127.0.0.1:{api.metrics_port}/metrics").status_code}
        while not ended.wait(0.5):
            found.add(client.get(f"http://127.0.0.1:{api.metrics_port}/metrics").status_code)
    return found


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge_livesum"])
def test_a_file_that_a_process_was_killed_at_making_is_nothing(tmp_path: Path, kind: str) -> None:
    counted = MmapedDict(str(tmp_path / f"counter_{NOBODY}.db"))
    counted.write_value(mmap_key("sweeps", "sweeps_total", [], [], "Rounds"), 3, 0)
    counted.close()
    (tmp_path / f"{kind}_{NOBODY + 1}.db").touch()
    registry = CollectorRegistry()
    registry.register(Written(tmp_path))
    for _ in range(2):
        assert generate_latest(registry).decode().splitlines()[2:] == ["sweeps_total 3.0"]


def is_without(folder: str, names: set[str]) -> bool:
    return not names & {path.name for path in (Path("/dev/shm") / folder).iterdir()}


def held_by(folder: str) -> set[str]:
    """The ids of the processes whose files are in it."""
    return {path.stem.rpartition("_")[2] for path in (Path("/dev/shm") / folder).iterdir()}


def test_what_serves_them_begins_anew_if_it_is_killed_and_the_api_goes_on(api: Measured) -> None:
    for signum in (signal.SIGKILL, signal.SIGTERM):
        _, serving = api.children()
        serving.send_signal(signum)
        wait_until(partial(is_another, api, serving))
        assert api.get("/exhibits") == 200
    labels = {"route": "/exhibits", "method": "GET", "status": "2xx"}
    api.wait_until_counted(2, **labels)


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


WITHOUT_IPV6 = ("-m", "tests.without_ipv6", sys.executable)


def test_where_there_is_no_ipv6_ipv4_serves_them_and_nothing_is_left_when_the_api_is_killed(
    server: Server, worker_database: str, tmp_path: Path
) -> None:
    with measured(server, worker_database, tmp_path / "log", *WITHOUT_IPV6) as api:
        assert api.get("/health") == 200
        require_that_nothing_is_left_of(api, signal.SIGKILL)


def require_that_nothing_is_left_of(api: Measured, signum: signal.Signals) -> None:
    _, serving = api.children()
    mine = {folder for folder in folders() if str(api.master.pid) in held_by(folder)}
    assert len(mine) == 1
    api.master.send_signal(signum)
    api.master.wait(timeout=HANGS)
    wait_until(lambda: not serving.is_running())
    assert not mine & folders()
