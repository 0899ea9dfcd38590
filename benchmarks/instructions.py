"""`python -m benchmarks.instructions REVISION`, or `make bench-reads`: what a read costs, beside another revision.

It counts the instructions of the api's process, which valgrind runs: unlike times, they are the same on a machine that
has other work. Postgres's are not counted, nor the kernel's.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import table
from benchmarks.stack import ROOT, Scale, Zoo, zoo

PATHS = ["/animals/1", "/animals?limit=100"]
FEW, MANY = 20, 420  # requests; what a process does besides is the same with either
VALGRIND = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
READS = ROOT / "benchmarks" / "reads.py"

Read = tuple[Path, str]
"""A checkout, and a path that is read from its api."""


def measure(zoo: Zoo, *checkouts: Path) -> dict[Read, float]:
    """Instructions of a request, for each of the checkouts and of PATHS."""
    runs = [(checkout, path, count) for checkout in checkouts for path in PATHS for count in (FEW, MANY)]
    with ThreadPoolExecutor(2) as threads:
        found = dict(zip(runs, threads.map(lambda run: count(zoo, *run), runs), strict=True))
    return {
        (checkout, path): (found[checkout, path, MANY] - found[checkout, path, FEW]) / (MANY - FEW)
        for checkout in checkouts
        for path in PATHS
    }


def count(zoo: Zoo, checkout: Path, path: str, requests: int, settings: Mapping[str, str] | None = None) -> int:
    """Instructions of a process that answers so many requests for the path, with these settings."""
    # No two of them may differ in what they compile, or in how they hash.
    environment = {"PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*VALGRIND, sys.executable, "-P", str(READS), path, str(requests)],
        env=zoo.environment() | environment | dict(settings or {}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    counted = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert counted is not None, done.stderr
    return int(counted[1].replace(",", ""))


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A checkout of the revision, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as folder:
        path = Path(folder) / "checkout"
        worktree: list[str | Path] = ["git", "-C", ROOT, "worktree"]
        subprocess.run([*worktree, "add", "--quiet", "--detach", path, revision], check=True)
        try:
            yield path
        finally:
            subprocess.run([*worktree, "remove", "--force", path], check=True)


def compare(revision: str) -> str:
    """A table of what a read costs here, and at the revision."""
    with zoo(Scale()) as running, checked_out(revision) as before:
        found = measure(running, before, ROOT)
    rows = [
        [
            f"GET {path}",
            f"{found[before, path]:,.0f}",
            f"{found[ROOT, path]:,.0f}",
            f"**{found[ROOT, path] / found[before, path]:.3f}**",
        ]
        for path in PATHS
    ]
    return table(rows=rows, header=["request", f"instructions at {revision}", "here", "ratio"])


if __name__ == "__main__":
    print(compare(sys.argv[1]))
