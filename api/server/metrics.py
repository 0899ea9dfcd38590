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
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

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
    registry.register(Written(Path(folder)))
    try:
        # All addresses, IPv6 and IPv4; where IPv6 is off, IPv4.
        start_http_server(port, "::" if socket.has_dualstack_ipv6() else "0.0.0.0", registry)  # noqa: S104
    except OSError as error:
        print(f"error: METRICS_PORT {port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        time.sleep(RETRY_SECONDS)
        sys.exit(1)
    while True:
        signal.pause()


class Written(Collector):
    """What the processes have written. The files of those that have ended become one, however many there were."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, Lock()  # each scrape has a thread

    def collect(self) -> Iterable[Metric]:
        """All metrics, added up."""
        with self._lock:
            for kind in ("counter", "histogram"):
                self._fold(kind)
            found: Iterable[Metric] = MultiProcessCollector.merge(list(map(str, self._begun("*.db"))))
            return found

    def _begun(self, pattern: str) -> list[Path]:
        """The files in which something is: not those whose process was killed, or is, between making and using one."""
        begun = []
        for path in self._folder.glob(pattern):
            with suppress(FileNotFoundError):  # of a process that has just ended
                if path.stat().st_size:
                    begun.append(path)
        return begun

    def _fold(self, kind: str) -> None:
        written = {path: path.stem.rpartition("_")[2] for path in self._begun(f"{kind}_[0-9]*.db")}
        ended = [path for path, process in written.items() if not Path("/proc", process).exists()]
        if not ended:
            return
        together, new = self._folder / f"{kind}_ended.db", self._folder / f"{kind}_ended.new"
        sums: dict[str, float] = defaultdict(float)
        for path in (*ended, *([together] if together.exists() else [])):
            for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):
                sums[key] += value
        new.unlink(missing_ok=True)
        file = MmapedDict(str(new))
        for key, value in sums.items():
            file.write_value(key, value, 0)
        file.close()
        new.replace(together)
        for path in ended:
            path.unlink()


def _end_with_parent() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):  # on Linux
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
