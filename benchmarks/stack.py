"""What is measured: a Postgres with a zoo in it, and servers that use it, each with processes of its own."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import psutil

from benchmarks.users import ADD_KEEPER
from local.ports import free_ports
from local.postgres import DATABASE, SUPERUSER, Server, die_with_parent, serve

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
ANIMALS = 10_000
START_SECONDS = 120  # on a busy machine

# gunicorn's arguments for each: the api as in production, with its access log; the others without one.
PLAIN = ["--worker-class", "uvicorn_worker.UvicornWorker", "--no-control-socket", "--worker-tmp-dir", "/dev/shm"]  # noqa: S108 - as the api's
APPS = {
    "ours": ["api.server"],
    "usual": ["gunicorn", *PLAIN, "benchmarks.usual:app"],
    "floor": ["gunicorn", *PLAIN, "benchmarks.floor:app"],
}


@dataclass(frozen=True)
class Scale:
    """How much is measured: rounds, seconds per round, requests before memory is measured, rows."""

    rounds: int = 5
    seconds: int = 3
    requests: int = 100_000
    deep_rows: int = 1_000_000
    import_rows: int = 100_000


@dataclass(frozen=True)
class App:
    """One of APPS, running at `url`."""

    name: str
    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """User and system time that all of its processes have used so far."""
        times = [process.cpu_times() for process in (self.process, *self.workers())]
        return float(sum(found.user + found.system for found in times))

    def workers(self) -> list[psutil.Process]:
        """The processes that answer; `process` itself is gunicorn's master."""
        return list(self.process.children())


@dataclass(frozen=True)
class Zoo:
    """A Postgres with its default settings, fsync included, that has animals."""

    server: Server
    folder: Path
    scale: Scale

    def environment(self) -> dict[str, str]:
        """The environment of processes that use it."""
        return os.environ | self.server.environment()

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser, each in a transaction of its own."""

        async def run() -> None:
            connection = await asyncpg.connect(self.server.url(SUPERUSER))
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(run())

    def add_animals(self, count: int) -> None:
        """Insert `count` animals, and update Postgres's statistics."""
        self.execute(
            "INSERT INTO animals (name, description, species)"
            " SELECT 'Animal ' || n, 'Born at the zoo in ' || 1990 + n % 30 || '.', 'Giraffa camelopardalis'"
            f" FROM generate_series(1, {count}) AS n",
            "VACUUM ANALYZE",
        )

    def fill(self) -> None:
        """Insert a keeper, and the animals that are asked for."""
        self.execute(*ADD_KEEPER)
        self.add_animals(ANIMALS)

    @contextmanager
    def serve(self, name: str, workers: int = 1, environment: Mapping[str, str] | None = None) -> Iterator[App]:
        """The app `name` of APPS under gunicorn, with these further settings, until the block ends."""
        (port,) = free_ports(1)
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *APPS[name], "--bind", f"{HOST}:{port}"],
                cwd=ROOT,
                env=self.environment() | {"WEB_CONCURRENCY": str(workers), **(environment or {})},
                stdout=output,
                stderr=output,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509 - the kernel has to know before it starts
            )
        try:
            app = App(name, f"http://{HOST}:{port}", psutil.Process(process.pid))
            _wait(app, process, log)
            yield app
        finally:
            process.terminate()
            process.wait()


@contextmanager
def zoo(scale: Scale, *, filled: bool = True) -> Iterator[Zoo]:
    """A zoo with the newest schema, in a folder of its own, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as name:
        folder = Path(name)
        with serve(folder / "data", database=DATABASE) as server:
            zoo = Zoo(server, folder, scale)
            migrate = [sys.executable, "-m", "alembic", "upgrade", "head"]
            subprocess.run(migrate, cwd=ROOT, env=zoo.environment(), check=True, capture_output=True)
            if filled:
                zoo.fill()
            yield zoo


def _wait(app: App, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{app.url}/animals/1").raise_for_status()
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"the server did not start; the end of its log:\n{log.read_text()[-2000:]}"
                ) from None
            time.sleep(0.02)
        else:
            return
