"""`python -m benchmarks`, or `make bench`: measures everything, and rewrites RESULTS.md and its charts."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks import (
    cold_start,
    comparison,
    compression,
    imports,
    memory,
    migrator_noop,
    orders,
    pages,
    photos,
    report,
    signed_in,
    statements,
    storage,
    workers,
)
from benchmarks.load import LoadError
from benchmarks.stack import Scale, Zoo, zoo

# Subjects that add hundreds of thousands of rows come last.
SERVING = [comparison, statements, signed_in, compression, workers, memory, cold_start, storage, migrator_noop]
OF_PARTS: list[ModuleType] = [
    orders,
    photos,
]
SUBJECTS = [*SERVING, *OF_PARTS, pages, imports]


def measure(running: Zoo, folder: Path, subjects: Sequence[ModuleType] = SUBJECTS) -> None:
    """Measure, subject by subject, and write the results into `folder`."""
    sections = []
    load_before = os.getloadavg()[0]
    for subject in subjects:
        began = time.monotonic()
        section = subject.measure(running)
        print(f"## {section.title}\n\n{section.text}\n\n({time.monotonic() - began:.0f} s)\n", flush=True)
        sections.append(section)
    report.write(folder, sections, running.scale, load_before)


if __name__ == "__main__":
    try:
        with zoo(Scale()) as running:
            measure(running, Path(__file__).parent)
    except LoadError as error:
        sys.exit(f"error: {error}")
