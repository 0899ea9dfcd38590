"""gunicorn, with the api's configuration."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from local.postgres import Server
from tests.processes.live import wait_until_ready
from tests.python import HANGS, Python, run

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_PASSWORD": "correct horse battery staple",
    "TOKEN_SECRET": "5f0c8d1e9b7a4263bd1f7e0a9c3d58264e",
    "SMTP_URL": "smtp://mail",
}
TRACES = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(("setting", "workers"), [({"WEB_CONCURRENCY": "5"}, 5), ({}, 2)], ids=["told", "default"])
def test_gunicorn_starts_as_many_workers_as_it_is_told(setting: dict[str, str], workers: int) -> None:
    shown = run("api.server", "--print-config", env=ENVIRONMENT | setting)
    assert re.search(rf"^workers\s+= {workers}$", shown.stdout, re.MULTILINE), shown.stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (PRODUCTION | {"DATABASE_PASSWORD": "zoo_api_zoo_api_zoo_api"}, "DATABASE_PASSWORD repeats itself"),
        (
            PRODUCTION | {"DATABASE_URL": "postgresql://zoo_api:zoo_api@db/zoo"},
            "the password in DATABASE_URL is shorter",
        ),
        (PRODUCTION | {"TOKEN_SECRET": "a" * 40}, "TOKEN_SECRET repeats itself"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY: Input should be greater than or equal to 1"),
        ({"WEB_CONCURRENCY": "two"}, "WEB_CONCURRENCY: Input should be a valid integer"),
        ({"WEB_CONCURRENCY": ""}, "WEB_CONCURRENCY: is empty"),
        ({"PORT": "http"}, "PORT: Input should be a valid integer"),
        ({"PORT": "65536"}, "PORT: Input should be less than or equal to 65535"),
        ({"KEEP_ALIVE_TIMEOUT": "0"}, "KEEP_ALIVE_TIMEOUT: Input should be greater than or equal to 1"),
        (
            {"DATABASE_URL": "postgresql://zoo@db/zoo?sslmode=no-verify"},
            "DATABASE_URL: sslmode=no-verify: write",
        ),
        ({"CLIENT_TIMEOUT": "-1"}, "CLIENT_TIMEOUT: Input should be greater than or equal to 1"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: write http://HOST:PORT"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: Input should be 'http/protobuf'"),
        ({"OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG: Input should be less than or equal to 1"),
        (TRACES | {"OTEL_BSP_SCHEDULE_DELAY": "5s"}, "OTEL_BSP_SCHEDULE_DELAY: write a whole number from 1 up"),
        (TRACES | {"OTEL_BSP_MAX_QUEUE_SIZE": ""}, "OTEL_BSP_MAX_QUEUE_SIZE: write a whole number from 1 up"),
        (TRACES | {"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: is 512, more than"),
        (TRACES | {"OTEL_SPAN_LINK_COUNT_LIMIT": "many"}, "OTEL_SPAN_LINK_COUNT_LIMIT must be a non-negative integer"),
    ],
    ids=lambda given: "=".join(list(given.items())[-1]) if isinstance(given, dict) else "",
)
def test_gunicorn_refuses_settings_that_can_not_be_used_in_a_line_each(settings: dict[str, str], reason: str) -> None:
    done = run("api.server", env=ENVIRONMENT | settings)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["event"], line["level"]) == ("settings can't be used", "error")
    assert line["reason"].startswith(reason)


@contextmanager
def serving(environment: dict[str, str], port: int, folder: Path, workers: int = 1) -> Iterator[Python]:
    """gunicorn's master, on the port that PORT names, until the block ends."""
    settings = ENVIRONMENT | environment | {"PORT": str(port), "WEB_CONCURRENCY": str(workers)}
    with (folder / "api.log").open("wb") as output, Python("api.server", env=settings, stderr=output) as process:
        wait_until_ready(f"http://127.0.0.1:{port}")
        yield process
        process.terminate()


def test_the_api_listens_on_the_port_that_it_is_told_on_ipv6_and_ipv4(
    server: Server, worker_database: str, free_port: int, tmp_path: Path
) -> None:
    with (
        serving(server.environment(worker_database), free_port, tmp_path),
        socket.create_connection(("::1", free_port)) as connection,
    ):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: zoo\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_workers_end_when_gunicorns_master_was_killed(
    server: Server, worker_database: str, free_port: int, tmp_path: Path
) -> None:
    with serving(server.environment(worker_database), free_port, tmp_path, workers=2) as process:
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=HANGS)
        assert alive == []
