"""`python -m api import animals`: many rows from a CSV file."""

import asyncio
import csv
import gc
import sys
import time
from collections import deque
from itertools import pairwise
from pathlib import Path

import asyncpg

from api.crud.imports.batches import Batches
from api.crud.imports.header import read_table
from api.crud.imports.lines import read_lines
from api.crud.imports.parents import Parents, fields_of
from api.crud.resources import RESOURCES
from benchmarks import command
from benchmarks.report import Section, table
from benchmarks.stack import Zoo
from local.postgres import SUPERUSER


def measure(zoo: Zoo) -> Section:
    """Measure how long the command takes, how much memory, and where the time goes."""
    path = zoo.folder / "animals.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "description", "species"])
        writer.writerows(
            [f"Animal {n}", f"Born at the zoo in {1990 + n % 30}.", "Giraffa camelopardalis"]
            for n in range(zoo.scale.import_rows)
        )
    rounds = range(min(zoo.scale.rounds, 3))
    import_it = [sys.executable, "-m", "api", "import", "animals", str(path)]
    runs = sorted(command.run(import_it, zoo.environment()) for _ in rounds)
    seconds, cpu, peak = runs[len(runs) // 2]
    rows = zoo.scale.import_rows
    header = ["rows", "rate", "clock", "CPU, without Postgres's", "most memory (RSS)"]
    row = [
        f"{rows:,}",
        f"**{rows / seconds:,.0f} rows/s**",
        f"{seconds:.1f} s",
        f"{cpu:.1f} s",
        f"{peak / 2**20:.0f} MiB",
    ]
    parts = [min(part) for part in zip(*(_parts(zoo, path) for _ in rounds), strict=True)]
    names = [
        "read as lines",
        "read as rows",
        "read, and checked",
        "COPY alone, with the indexes",
        "COPY alone, without",
    ]
    shown = [
        [name, f"{rows / part:,.0f} rows/s", f"{part / rows * 1e6:.1f} µs"]
        for name, part in zip(names, parts, strict=True)
    ]
    text = (
        "A file, checked row by row and loaded in one transaction: the median run, from the command's start to"
        f" its end.\n\n{table(header, [row])}\n\nWhere the time goes: each part by itself, the best run. While Postgres"
        f" stores one batch, the next one is read and checked.\n\n{table(['part', 'rate', 'per row'], shown)}"
    )
    return Section("Import", text)


def _parts(zoo: Zoo, path: Path) -> list[float]:
    """Seconds of reading the file in three depths, and of storing its rows in two ways."""
    resource = RESOURCES["animals"]
    gc.disable()  # as the import does
    began = [time.perf_counter()]

    def end() -> None:
        began.append(time.perf_counter())

    with path.open("rb") as file:
        deque(read_lines(file), maxlen=0)
    end()
    with path.open("rb") as file:
        deque(read_table(read_lines(file), fields_of(resource))[1], maxlen=0)
    end()
    with path.open("rb") as file:
        batches = Batches(file, resource, {"exhibit_id": Parents("exhibit", "exhibits")}, update=False)
        deque(batches, maxlen=0)
    end()
    gc.enable()
    return [after - before for before, after in pairwise(began)] + asyncio.run(_store(zoo, path))


async def _store(zoo: Zoo, path: Path) -> list[float]:
    """Seconds of COPY into a table like the animals', with its indexes and without."""
    connection = await asyncpg.connect(zoo.server.url(SUPERUSER))
    seconds = []
    for like in ("INCLUDING ALL", "INCLUDING DEFAULTS INCLUDING IDENTITY"):
        await connection.execute(f"CREATE TABLE copied (LIKE animals {like})")
        began = time.perf_counter()
        await connection.copy_to_table(
            "copied", source=path, format="csv", header=True, columns=["name", "description", "species"]
        )
        seconds.append(time.perf_counter() - began)
        await connection.execute("DROP TABLE copied")
    await connection.close()
    return seconds
