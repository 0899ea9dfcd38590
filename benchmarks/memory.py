"""A worker's memory: at the start, after a tenth of the requests, and after all of them."""

from pathlib import Path

import httpx
import psutil

from api.server.__main__ import SHARED_MEMORY
from benchmarks import load
from benchmarks.comparison import NEW
from benchmarks.load import Request
from benchmarks.observing import collecting
from benchmarks.report import Section, table
from benchmarks.stack import HOST, Zoo
from benchmarks.users import KEEPER
from local.ports import free_ports

# How many of each, in turn.
MIX = [
    Request("/animals/{id}", count=70),
    Request("/animals?limit=10&after={id}", count=10),
    Request("/users/me", count=5, token=KEEPER),
    Request("/animals", "POST", count=10, token=KEEPER, body=NEW),
    Request("/health", count=5),
]


def measure(zoo: Zoo) -> Section:
    """Measure the memory of one worker."""
    with zoo.serve("ours") as app:
        (worker,) = app.workers()
        rows = [_row("the first answer", worker)]
        answered = 0.0
        for least in (zoo.scale.requests // 10, zoo.scale.requests):
            while answered < least:
                answered += load.send(app, *MIX, seconds=zoo.scale.seconds).answers
            rows.append(_row(f"{answered:,.0f} requests", worker))
    rows += _observed(zoo)
    text = (
        "A mix: 70 animals, 10 lists of 10,"
        " 5 of what only users may read,"
        " 10 new animals, 5 of `/health`."
        " *USS* is the worker's private memory, *PSS* that and its share of the memory it shares with other"
        f" processes, *RSS* all of both.\n\n{table(['after', 'USS', 'PSS', 'RSS'], rows)}"
    )
    return Section("A worker's memory", text)


def _observed(zoo: Zoo) -> list[list[str]]:
    """The same with metrics and all traces; and the process that serves the metrics, with the number of its series."""
    with collecting() as collector:
        (port,) = free_ports(1)
        settings = {"METRICS_PORT": str(port), "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
        with zoo.serve("ours", environment=settings) as app:
            serving, worker = sorted(app.workers(), key=lambda child: "api.server.metrics" not in child.cmdline())
            found, answered = [], 0.0
            for least in (zoo.scale.requests // 10, zoo.scale.requests):
                while answered < least:
                    answered += load.send(app, *MIX, seconds=zoo.scale.seconds).answers
                after = f"{answered:,.0f} requests, with metrics and all traces"
                text = httpx.get(f"http://{HOST}:{port}/metrics", timeout=60).raise_for_status().text
                series = sum(not line.startswith("#") for line in text.splitlines())
                found.append(_row(f"{after}{_files(worker)}", worker))
                found.append(_row(f"{after}: the process that serves {series:,} series", serving))
            return found


def _files(worker: psutil.Process) -> str:
    sizes = [path.stat().st_blocks * 512 for path in Path(SHARED_MEMORY).glob(f"api-metrics-*/*_{worker.pid}.db")]
    return f" ({len(sizes)} files, {sum(sizes) / 2**10:,.0f} KiB)"


def _row(after: str, worker: psutil.Process) -> list[str]:
    found = worker.memory_full_info()
    return [after, *(f"{amount / 2**20:.1f} MiB" for amount in (found.uss, found.pss, found.rss))]
