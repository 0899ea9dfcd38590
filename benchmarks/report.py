"""Writes benchmarks/RESULTS.md: what was measured, on which machine, and how."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks.load import CONNECTIONS
from benchmarks.stack import ANIMALS, Scale
from local.postgres import binaries

SHOWN = ["fastapi", "pydantic", "sqlalchemy", "asyncpg", "gunicorn", "uvicorn", "uvloop", "orjson"]


@dataclass(frozen=True)
class Section:
    """The results of one subject: Markdown, and its charts by file name."""

    title: str
    text: str
    charts: Mapping[str, str] = field(default_factory=dict)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; numbers are right-aligned."""
    rows = list(rows)
    columns = [[row[at] for row in rows] for at in range(len(header))]
    rule = ["---:" if any(cell.strip("*~")[:1].isdigit() for cell in column) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])


def write(folder: Path, sections: Sequence[Section], scale: Scale, load_before: float) -> None:
    """Write RESULTS.md and the charts into `folder`.

    `load_before` is the load average of the machine when the measurements began.
    """
    for section in sections:
        for name, svg in section.charts.items():
            (folder / name).write_text(svg)
    parts = [_head(scale, load_before), *(f"## {section.title}\n\n{section.text}" for section in sections)]
    (folder / "RESULTS.md").write_text("\n\n".join(parts) + "\n")


def _head(scale: Scale, load_before: float) -> str:
    postgres = subprocess.run([binaries() / "postgres", "--version"], capture_output=True, text=True, check=True)
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    return (
        "# What is measured, and the results\n\n"
        "`make bench` writes this file. It needs wrk: `apt-get install wrk`.\n\n"
        f"- **Machine**: {_processor()}, {os.cpu_count()} cores, which also carry Postgres and wrk; its load"
        f" average was {load_before:.1f} before.\n"
        f"- **Software**: Python {platform.python_version()}, PostgreSQL {postgres.stdout.split()[-1]} with its default"
        f" settings, fsync included, over a Unix socket; {versions}.\n"
        f"- **Load**: wrk, {CONNECTIONS} connections, {ANIMALS:,} animals; gunicorn with one worker unless stated"
        f" otherwise. {scale.rounds} rounds of {scale.seconds} s, in which the compared apps or requests take turns;"
        " figures are medians of the rounds. If any request of a round fails, the run ends.\n"
        "- **CPU/request**: user and system time of the server's processes, gunicorn's master included; neither"
        " Postgres's nor wrk's.\n"
        "- **Latencies** are those under full load: they show how long the queue is, rather than how long a single"
        " request takes."
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
