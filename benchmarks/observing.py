"""`python -m benchmarks.observing`, or `make bench-observing`: what metrics and traces add to the cost of a read.

In instructions of the api's process, those of the threads that send spans included, as `make bench-reads` counts them.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files

from benchmarks.instructions import FEW, MANY, PATHS, count
from benchmarks.report import table
from benchmarks.stack import ROOT, Scale, Zoo, zoo
from local.ports import free_ports


def settings(collector: str, folder: str) -> dict[str, dict[str, str]]:
    """What is observed, and the settings that make it so; metrics are written into the folder."""
    # Small batches, so that several of them are sent while it is measured.
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64"}
    share = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    return {
        "nothing": {},
        "metrics": {"PROMETHEUS_MULTIPROC_DIR": folder},
        "traces, 1 %": traces | share,
        "traces, 100 %": traces,
    }


def measure(zoo: Zoo, collector: str, folder: str) -> dict[tuple[str, str], float]:
    """Instructions of a request, by what is observed and by PATHS."""
    observed = settings(collector, folder)
    runs = [(what, path, number) for what in observed for path in PATHS for number in (FEW, MANY)]
    with ThreadPoolExecutor(2) as threads:
        counted = threads.map(lambda run: count(zoo, ROOT, run[1], run[2], observed[run[0]]), runs)
    found = dict(zip(runs, counted, strict=True))
    return {
        (what, path): (found[what, path, MANY] - found[what, path, FEW]) / (MANY - FEW)
        for what in observed
        for path in PATHS
    }


@contextmanager
def collecting() -> Iterator[str]:
    """The URL of a collector that keeps nothing, until the block ends."""
    http, grpc = free_ports(2)
    command = [
        str(files("rotel") / "rotel-agent"), "start", "--exporter", "blackhole",
        "--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as rotel:
        try:
            yield f"http://127.0.0.1:{http}"
        finally:
            rotel.kill()


def report() -> str:
    """A table of what a read costs."""
    with zoo(Scale()) as running, collecting() as collector, tempfile.TemporaryDirectory() as folder:
        found = measure(running, collector, folder)
    rows = [
        [f"GET {path}", what, f"{instructions:,.0f}", f"**{instructions / found['nothing', path]:.3f}**"]
        for (what, path), instructions in found.items()
    ]
    return table(rows=rows, header=["request", "observed", "instructions", "ratio"])


if __name__ == "__main__":
    print(report())
