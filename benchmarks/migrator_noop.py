"""What a migrator's run that finds nothing to do costs, and what that is made of: `make bench-migrator`.

Seconds of CPU (user and system, the process's own) and of the clock, medians of interleaved rounds.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from local.postgres import serve

ROUNDS = 7
DATABASE = "zoo"
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


def cost(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of CPU and of the clock that `python ARGUMENTS` takes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=os.environ | environment, check=True, capture_output=True)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - began


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as folder, serve(Path(folder) / "data") as server:
        server.create_database(DATABASE)
        environment = server.environment(DATABASE)
        cost(STEPS["the whole run"], environment)
        rounds = [{name: cost(arguments, environment) for name, arguments in STEPS.items()} for _ in range(ROUNDS)]
    for name in STEPS:
        cpu, clock = (statistics.median(values) for values in zip(*(found[name] for found in rounds), strict=True))
        print(f"{name:36} {cpu:5.2f} s CPU  {clock:5.2f} s")


if __name__ == "__main__":
    main()
