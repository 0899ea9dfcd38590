"""`python -m api.server.metrics PORT FOLDER`: serves what the api's processes have written into the folder.

It is a process of its own, which gunicorn's master starts: a thread of the master would be in the way of its forks, and
a worker would answer only while it is not busy. It ends with the master, begins anew if it is killed, and imports
nothing of the api.
"""

import ctypes
import os
import shutil
import signal
import sys
import time

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

RETRY_SECONDS = 1
PR_SET_PDEATHSIG = 1  # prctl(2)


def main(port: int, folder: str) -> None:
    """Serve until the master ends or SIGTERM comes; then the folder is removed."""
    _end_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the master ends it
    try:
        while True:
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                _end_with_parent()
                _serve(port, folder)
            os.waitpid(child, 0)
            time.sleep(RETRY_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(port: int, folder: str) -> None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    try:
        start_http_server(port, "::", registry)
    except OSError as error:
        print(f"error: METRICS_PORT {port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        os._exit(1)
    signal.pause()


def _end_with_parent() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):  # on Linux
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
