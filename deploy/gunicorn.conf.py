"""How gunicorn serves the api: `python -m api.server`. It reads FORWARDED_ALLOW_IPS from the environment by itself."""

import gc
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

import structlog
from prometheus_client.multiprocess import mark_process_dead

import api.main  # noqa: F401 - once, here: each worker, also one that replaces another, is forked with it
from api.server.gunicorn_log import published_at
from api.settings import load_settings

settings = load_settings()
if settings.traces_url is not None:
    from api.external_services import collector  # noqa: F401 - likewise
gc.freeze()  # nor do workers look for garbage among what they share

wsgi_app = "api.main:create_app()"
# All addresses of the container, IPv6 and IPv4; Compose publishes the port on 127.0.0.1 only.
bind = f"{'[::]' if socket.has_dualstack_ipv6() else '0.0.0.0'}:{settings.port}"
worker_class = "api.server.worker.Worker"
workers = settings.web_concurrency

# A worker whose event loop is blocked for so long is replaced: none of its own work takes even a second. The heartbeat
# is in memory, because a slow disk must not look like a blocked worker.
timeout = 10
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a tmpfs in every container
# After SIGTERM, requests in flight have this long. Less than Compose's stop_grace_period.
graceful_timeout = 25
keepalive = settings.keep_alive_timeout

# Each client is an open file, and the usual soft limit is 1,024: a thousand idle clients would keep all others out.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

logger_class = "api.server.gunicorn_log.GunicornLog"
# Its file would be below $HOME, where the container can't write.
control_socket_disable = True


def on_starting(_: Any) -> None:
    """Say once what is not there."""
    if settings.s3_url is None:
        structlog.get_logger("api").info("no storage: S3_URL is not set")


def when_ready(_: Any) -> None:
    """Say where the api is on this machine, and serve what is measured, by a process that ends with this one."""
    if address := published_at():
        structlog.get_logger("api").info("ready", address=address, docs=f"{address}/docs")
    if settings.metrics_port is not None:
        _serve_metrics(
            [
                sys.executable,
                "-m",
                "api.server.metrics",
                str(settings.metrics_port),
                os.environ["PROMETHEUS_MULTIPROC_DIR"],
            ]
        )


def _serve_metrics(command: list[str]) -> None:
    """Keep this process at work: gunicorn has no hook for the end of a child that is no worker."""
    serving = subprocess.Popen(command)  # noqa: S603
    gunicorns: Any = signal.getsignal(signal.SIGCHLD)

    is_starting = False

    def start_anew(*received: Any) -> None:
        nonlocal serving, is_starting
        gunicorns(*received)
        if not is_starting and serving.poll() is not None:
            is_starting = True  # another child may end meanwhile
            with suppress(OSError):  # such as no memory; it is tried again when the next child ends
                serving = subprocess.Popen(command)  # noqa: S603
            is_starting = False

    signal.signal(signal.SIGCHLD, start_anew)


def child_exit(_: Any, worker: Any) -> None:
    """What was so in a worker that has ended is no longer; what it has counted stays."""
    if settings.metrics_port is not None:
        mark_process_dead(worker.pid)


def post_worker_init(_: Any) -> None:
    """Exclude permanent objects from garbage collection: the app, as the modules are.

    The collector would examine them again and again, in the middle of requests, and find nothing.
    """
    gc.collect()
    gc.freeze()
