"""How gunicorn serves the api: `python -m api.server`. It reads FORWARDED_ALLOW_IPS from the environment by itself."""

import gc
import resource
import socket
from typing import Any

import api.main  # noqa: F401 - once, here: a worker, also one in the place of another, is forked with all of it
from api.settings import load_settings

settings = load_settings()

wsgi_app = "api.main:create_app()"
# All addresses of the container, IPv6 and IPv4; Compose publishes the port on 127.0.0.1 only.
bind = f"{'[::]' if socket.has_dualstack_ipv6() else '0.0.0.0'}:{settings.port}"
worker_class = "api.server.worker.Worker"
workers = settings.web_concurrency

# A worker whose event loop stands still for so long is replaced: nothing that it does by itself takes a second. The
# heartbeat is in memory, for a disk that is slow must not look like that.
timeout = 10
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a tmpfs in every container
# After SIGTERM, requests in flight have this long. Less than Compose's stop_grace_period.
graceful_timeout = 25
keepalive = settings.keep_alive_timeout

# A client is an open file, of which the usual soft limit allows 1,024: a thousand idle ones would keep all others out.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

logger_class = "api.server.gunicorn_log.GunicornLog"
# It would be opened below $HOME, which the container may not write to.
control_socket_disable = True


def post_worker_init(_: Any) -> None:
    """Keep the garbage collector from what stays: the modules and the app, over a hundred thousand objects.

    It looks through all that it knows again and again, in the middle of requests, and finds nothing. New objects it
    sees after 50,000 rather than 2,000: requests leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
