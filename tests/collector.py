"""A real collector of traces: rotel, which passes on what it takes to a server of this process."""

import gzip
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from local.postgres import die_with_parent
from tests.ports import find_free_port

PATIENCE = 60  # seconds, on a busy machine


@dataclass
class Collector:
    """What it was sent, and where."""

    port: int
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Span]:
        return [
            span
            for body in list(self.bodies)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def wait_for(self, trace_ids: set[str]) -> None:
        """Wait until it has the requests of all these traces."""
        deadline = time.monotonic() + PATIENCE
        while missing := trace_ids - {s.trace_id.hex() for s in self.spans() if s.kind == Span.SPAN_KIND_SERVER}:
            assert time.monotonic() < deadline, missing
            time.sleep(0.05)


@contextmanager
def collecting(port: int | None = None) -> Iterator[Collector]:
    """A collector, until the block ends."""
    collector = Collector(port or find_free_port())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_gzip = self.headers["Content-Encoding"] == "gzip"
            collector.bodies.append(gzip.decompress(body) if is_gzip else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        command = [
            str(files("rotel") / "rotel-agent"), "start",
            "--otlp-grpc-endpoint", f"127.0.0.1:{find_free_port()}",
            "--otlp-http-endpoint", f"127.0.0.1:{collector.port}",
            "--exporter", "otlp", "--otlp-exporter-protocol", "http",
            "--otlp-exporter-endpoint", f"http://127.0.0.1:{server.server_port}",
        ]  # fmt: skip
        environment = {"PATH": os.environ["PATH"]}
        with subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509 - the kernel has to know before it starts
        ) as rotel:
            try:
                _wait_until_it_listens(collector.port)
                yield collector
            finally:
                rotel.kill()
                server.shutdown()


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
