"""How gunicorn serves the api. FORWARDED_ALLOW_IPS it reads from the environment by itself."""

import gc
import os
import resource
import sys
from typing import Any

import structlog

import api.main  # noqa: F401 - once, here: a worker, also one in the place of another, is forked with all of it
from api.settings import load_settings

wsgi_app = "api.main:create_app()"
bind = "0.0.0.0:8000"  # of the container; Compose publishes it on 127.0.0.1 only
worker_class = "api.server.worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# A worker whose event loop stands still for so long is replaced: nothing that it does by itself takes a second. The
# heartbeat is in memory, for a disk that is slow must not look like that.
timeout = 10
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a tmpfs in every container
# After SIGTERM, requests in flight have this long. Less than Compose's stop_grace_period.
graceful_timeout = 25
# Longer than the idle time-out of the usual proxies (60 s), so that it is the proxy who closes idle connections. So
# long a client may take for sending a request, and for taking an answer, too (api/server/http_protocol.py).
keepalive = 75

# A client is an open file, of which the usual soft limit allows 1,024: a thousand idle ones would keep all others out.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

logger_class = "api.server.gunicorn_log.GunicornLog"
# It would be opened below $HOME, which the container may not write to.
control_socket_disable = True


def on_starting(_: Any) -> None:
    """Refuse settings that can't be used in a line each, before any worker fails on them with a traceback."""
    try:
        load_settings().require_usable()
    except ValueError as error:
        for reason in str(error).splitlines():
            structlog.get_logger("api").error("settings can't be used", reason=reason)
        sys.exit(1)


def post_worker_init(_: Any) -> None:
    """Keep the garbage collector from what stays: the modules and the app, over a hundred thousand objects.

    It looks through all that it knows again and again, in the middle of requests, and finds nothing. New objects it
    sees after 50,000 rather than 2,000: requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
