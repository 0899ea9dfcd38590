"""Which requests the proxy in front of the replicas passes on."""

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack.observed import until
from tests.stack.stack import PATIENCE, Stack, docker, pause

PROBES = (
    *("/health", "/health/", "/health/db", "/health/ready", "/health/ready/", "/health/ready?x=1", "/health//ready"),
    *("//health/ready", "///health/ready", "/%68ealth/ready", "/%2Fhealth/ready", "/health%2Fready", "/health%2fdb"),
    *("/Health", "/HEALTH/READY", "/%48ealth/ready", "/health/%72eady", "/health/ready%2F", "/health/./ready"),
    *("/x/../health/ready", "/./health/ready", "/%2e/health/ready", "/x/%2e%2e/health/ready", "/health/x/../ready"),
    *("/health;x/ready", "/health/ready;x", "/health%00", "/%00health", "/%2568ealth/ready", "/health%252Fready"),
    *("http://zoo/health/ready", "http://zoo//health/ready", "HTTP://ZOO/%68ealth/ready", "https://zoo/health/db"),
    *("health/ready", "\\health\\ready", "/\\health/ready", "/health\\ready", "*"),
)


def ask(stack: Stack, target: str, method: str = "GET") -> tuple[int, bytes]:
    """The status and the body of the answer to a target that is sent exactly as written."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: zoo\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_the_public_gets_404_for_probes_however_their_path_is_written(replicas: Stack, method: str) -> None:
    statuses = {target: ask(replicas, target, method)[0] for target in PROBES}
    assert {target: status for target, status in statuses.items() if status not in {400, 404}} == {}
    for target in ("/health", "/health/ready", "/%68ealth//ready", "http://zoo/health/db"):
        status, body = ask(replicas, target, method)
        assert status == 404
        assert body == b"" if method == "HEAD" else json.loads(body) == {"detail": "Not Found"}


def test_paths_that_only_begin_like_a_probe_are_passed_on(replicas: Stack) -> None:
    for path in ("/healthy", "/animals/health", "/health-records"):
        answer = replicas.get(path)
        assert "X-Request-ID" in answer.headers, path


def test_the_proxy_itself_probes_both_replicas(replicas: Stack) -> None:
    replicas.exec("proxy", "curl", "--silent", "--fail", "http://127.0.0.1:8404/all")
    assert replicas.get("/exhibits").status_code == 200


def test_while_the_database_is_too_slow_for_any_replica_to_say_that_it_is_ready_requests_wait_for_it(
    replicas: Stack,
) -> None:
    ready = ("curl", "--silent", "--fail", "http://127.0.0.1:8404/")
    with ThreadPoolExecutor(1) as thread:
        pause(replicas.container("db"))
        try:
            until(lambda: replicas.exec("proxy", *ready, check=False).returncode != 0)
            answer = thread.submit(replicas.get, "/exhibits")
            with pytest.raises(TimeoutError):
                answer.result(timeout=1)
        finally:
            docker("unpause", replicas.container("db"))
        assert answer.result().status_code == 200


def test_a_traceparent_does_not_get_past_the_proxy(replicas: Stack) -> None:
    """A client could otherwise have every request sampled, in a trace of its choice."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = f"00-{trace}-00f067aa0ba902b7-01"
    for headers in ([("traceparent", parent)], [("Traceparent", parent), ("TRACEPARENT", parent)]):
        answer = replicas.get("/exhibits", headers=headers)
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Trace-ID"])
        assert answer.headers["X-Trace-ID"] != trace
    # The api itself believes what a proxy sends.
    beyond = ("--silent", "--include", "--header", f"traceparent: {parent}", "http://api:8000/exhibits")
    assert f"x-trace-id: {trace}" in replicas.exec("proxy", "curl", *beyond).stdout.lower()
