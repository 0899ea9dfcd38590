"""`python -m api.server.metrics PORT FOLDER`: serves what the api's processes have written into the folder.

It is a process of its own, which gunicorn's master starts, and starts anew if it is killed: a thread of the master
would be in the way of its forks, and a worker would answer only while it is not busy. It ends with the master, and
imports nothing of the api.
"""

import ctypes
import os
import shutil
import signal
import socket
import sys
import time

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

RETRY_SECONDS = 1
PR_SET_PDEATHSIG = 1  # prctl(2)


def main(port: int, folder: str) -> None:
    """Serve until the master ends, and then remove the folder; or until SIGTERM comes. Exit 1 if the port is taken."""
    master = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the master ends it
    try:
        _end_with_parent()
        _serve(port, folder)
    finally:
        if os.getppid() != master:  # otherwise its processes still write there
            shutil.rmtree(folder, ignore_errors=True)


def _serve(port: int, folder: str) -> None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    try:
        # All addresses, IPv6 and IPv4; where IPv6 is off, IPv4.
        start_http_server(port, "::" if socket.has_dualstack_ipv6() else "0.0.0.0", registry)  # noqa: S104
    except OSError as error:
        print(f"error: METRICS_PORT {port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        time.sleep(RETRY_SECONDS)
        sys.exit(1)
    while True:
        signal.pause()


def _end_with_parent() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):  # on Linux
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
