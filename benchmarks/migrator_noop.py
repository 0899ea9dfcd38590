"""The cost of a migrator's run that finds nothing to do, and its parts."""

import resource
import statistics
import subprocess
import sys
import time

from benchmarks.report import Section, table
from benchmarks.stack import ROOT, Zoo

CODE = "import alembic.config"
STEPS = {
    "Python itself": ["-c", "pass"],
    "and Alembic with SQLAlchemy": ["-c", CODE],
    "and asyncpg, models, settings, log": [
        "-c",
        f"{CODE}, asyncpg, sqlalchemy.ext.asyncio, api.models, api.settings, structlog",
    ],
    "the whole run": ["-m", "alembic", "upgrade", "head"],
}


def measure(zoo: Zoo) -> Section:
    """Measure the process's own CPU seconds (user and system), and wall-clock seconds."""
    cost(zoo, STEPS["the whole run"])
    rounds = [{name: cost(zoo, arguments) for name, arguments in STEPS.items()} for _ in range(zoo.scale.rounds)]
    rows = []
    for name in STEPS:
        cpu, clock = (statistics.median(values) for values in zip(*(found[name] for found in rounds), strict=True))
        rows.append([name, f"{cpu:.2f} s", f"{clock:.2f} s"])
    return Section("The migrator, with nothing to do", table(["up to", "CPU", "clock"], rows))


def cost(zoo: Zoo, arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and wall-clock seconds that `python ARGUMENTS` takes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=zoo.environment(), check=True, capture_output=True)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - began
