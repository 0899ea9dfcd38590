"""What the api prints while it serves: gunicorn and its workers. tests/processes/test_run.py has `make run`."""

import json
import os
import pty
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from local.postgres import Server
from tests.conftest import uncoloured
from tests.processes.live import READY, of_requests, wait_until_ready
from tests.python import HANGS, Python


@contextmanager
def gunicorn(environment: dict[str, str], port: int, output: int) -> Iterator[Python]:
    """The api, served as in its image, until the block ends; its output goes to `output`."""
    command = ["api.server", "--bind", f"127.0.0.1:{port}"]
    with Python(*command, env=os.environ | environment, stdout=output, stderr=output) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}")
            yield process
        finally:
            process.terminate()
            assert process.wait(timeout=HANGS) == 0


def wait_until_said(output: Path, event: str, times: int) -> None:
    deadline = time.monotonic() + HANGS
    while (said := output.read_text()).count(event) < times:
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


def test_all_that_gunicorn_and_its_workers_print_is_json(
    server: Server, worker_database: str, free_port: int, tmp_path: Path
) -> None:
    environment = {**server.environment(worker_database), "WEB_CONCURRENCY": "2", "LOG_FORMAT": ""}
    address = f"http://127.0.0.1:{free_port}"
    ids = [f"request-{number}" for number in range(20)]
    with (tmp_path / "output").open("w+") as output:
        with gunicorn(environment, free_port, output.fileno()) as process:
            for request_id in ids:
                answer = httpx.get(f"{address}/animals?name=Amara", headers={"X-Request-ID": request_id}, timeout=HANGS)
                assert answer.headers["X-Request-ID"] == request_id
            wait_until_said(tmp_path / "output", "Started server process", 2)
            process.send_signal(signal.SIGHUP)  # a worker that has not yet started would end in silence
            wait_until_said(tmp_path / "output", "Started server process", 4)
            wait_until_ready(address)
            httpx.get(f"{address}/unicorns", headers={"X-Request-ID": "after-the-reload"}, timeout=HANGS)
        lines = [json.loads(line) for line in (tmp_path / "output").read_text().splitlines()]
    assert all(line.keys() >= {"event", "level", "timestamp"} for line in lines)
    assert sorted(line["request_id"] for line in of_requests(lines)) == sorted([*ids, "after-the-reload"])
    assert {line["path"] for line in of_requests(lines)} == {"/animals", "/unicorns"}
    events = [line["event"] for line in lines]
    for said in ("Starting gunicorn", "Booting worker", "Application startup complete", "Handling signal: hup"):
        assert any(event.startswith(said) for event in events), said
    assert not any("Amara" in event for event in events)


def test_in_compose_on_this_machine_lines_are_for_people_and_say_where_the_api_is(
    server: Server, worker_database: str, free_port: int, tmp_path: Path
) -> None:
    compose = {"ENVIRONMENT": "local", "API_PORT": "9123", "LOG_FORMAT": "", "WEB_CONCURRENCY": "1"}
    environment = {**server.environment(worker_database), **compose}
    with (tmp_path / "output").open("w") as output, gunicorn(environment, free_port, output.fileno()):
        pass
    shown = (tmp_path / "output").read_text()
    assert "[info] ready address=http://127.0.0.1:9123 docs=http://127.0.0.1:9123/docs\n" in shown
    assert not any(word in shown for word in ("Listening at", "0.0.0.0", "\x1b", "{"))


def test_on_a_terminal_lines_are_for_people(server: Server, worker_database: str, free_port: int) -> None:
    mine, theirs = pty.openpty()
    environment = {**server.environment(worker_database), "WEB_CONCURRENCY": "1", "LOG_FORMAT": "", "TERM": "xterm"}
    with gunicorn(environment, free_port, theirs):
        httpx.get(f"http://127.0.0.1:{free_port}/unicorns", headers={"X-Request-ID": "one"}, timeout=HANGS)
    os.close(theirs)
    shown = uncoloured(read_all(mine)).splitlines()
    assert any(line.endswith("[info] Starting gunicorn " + line.rpartition(" ")[2]) for line in shown)
    # A probe is logged only if it fails, which happens on a busy machine during the start.
    requests = [line for line in shown if "[info] request" in line]
    (request,) = (line for line in requests if f"path={READY} " not in line or "status=200" in line)
    assert request.partition("[info] request ")[2].split()[:3] == ["method=GET", "path=/unicorns", "status=404"]
    assert request.endswith("request_id=one")
    assert not any("{" in line for line in shown)


def read_all(terminal: int) -> str:
    read = b""
    while True:
        try:
            read += os.read(terminal, 65536)
        except OSError:  # Linux reports a terminal's closed other side like this
            os.close(terminal)
            return read.decode()
