"""`python -m api import animals`: many rows from a CSV file."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import Section, table
from benchmarks.stack import ROOT, Zoo


def measure(zoo: Zoo) -> Section:
    """Measure how long the command takes, and how much memory."""
    path = zoo.folder / "animals.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "description", "species"])
        writer.writerows(
            [f"Animal {n}", f"Born at the zoo in {1990 + n % 30}.", "Giraffa camelopardalis"]
            for n in range(zoo.scale.import_rows)
        )
    runs = sorted(_run(zoo, path) for _ in range(min(zoo.scale.rounds, 3)))
    seconds, cpu, peak = runs[len(runs) // 2]
    rate = f"**{zoo.scale.import_rows / seconds:,.0f} rows/s**"
    header = ["rows", "rate", "clock", "CPU, without Postgres's", "most memory (RSS)"]
    row = [f"{zoo.scale.import_rows:,}", rate, f"{seconds:.1f} s", f"{cpu:.1f} s", f"{peak / 2**20:.0f} MiB"]
    text = (
        "A file, checked row by row and loaded in one transaction: the median run, from the command's start to"
        f" its end.\n\n{table(header, [row])}"
    )
    return Section("Import", text)


def _run(zoo: Zoo, path: Path) -> tuple[float, float, int]:
    """Wall-clock seconds, CPU seconds, and the peak memory in bytes, of one run."""
    command = [sys.executable, "-m", "api", "import", "animals", str(path)]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=zoo.environment(), stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
