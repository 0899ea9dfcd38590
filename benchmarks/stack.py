"""What is measured: a Postgres with a zoo in it, and servers on it, each with processes of its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import psutil

from api.crud.users import hash_token
from local.postgres import DATABASE, SUPERUSER, Server, die_with_parent, serve

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
KEEPER = "a keeper's token"
START_SECONDS = 30

# gunicorn's arguments. The api is served as in production, access log included; the others without one.
OURS = ["--config", "deploy/gunicorn.conf.py"]
PLAIN = ["--worker-class", "uvicorn_worker.UvicornWorker", "--no-control-socket", "--worker-tmp-dir", "/dev/shm"]  # noqa: S108 - as the api's
APPS = {
    "ours": OURS,
    "usual": [*PLAIN, "benchmarks.usual:app"],
    "floor": [*PLAIN, "benchmarks.floor:app"],
}


@dataclass(frozen=True)
class App:
    """A server that answers at `url`."""

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """User and system time that all of its processes have used so far."""
        times = [process.cpu_times() for process in self.processes()]
        return float(sum(found.user + found.system for found in times))

    def processes(self) -> list[psutil.Process]:
        """The master of gunicorn, and its workers."""
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def zoo(folder: Path, animals: int) -> Iterator[Server]:
    """A Postgres with its default settings, fsync included, the newest schema, a keeper, and so many animals."""
    with serve(folder / "data", database=DATABASE) as server:
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env=os.environ | server.environment(),
            check=True,
            capture_output=True,
        )
        execute(
            server,
            "INSERT INTO users (id, email, hashed_password, type)"
            " VALUES ('00000000-0000-7000-8000-000000000001', 'keeper@zoo.example', '', 'keeper')",
            "INSERT INTO access_tokens (token, user_id)"
            f" VALUES ('{hash_token(KEEPER)}', '00000000-0000-7000-8000-000000000001')",
        )
        add_animals(server, animals)
        yield server


def add_animals(server: Server, count: int) -> None:
    """Insert `count` animals, and have Postgres know about them."""
    execute(
        server,
        "INSERT INTO animals (name, description, species)"
        " SELECT 'Animal ' || n, 'Born at the zoo in ' || 1990 + n % 30 || '.', 'Giraffa camelopardalis'"
        f" FROM generate_series(1, {count}) AS n",
        "VACUUM ANALYZE",
    )


def execute(server: Server, *statements: str) -> None:
    """Run statements as the superuser, each in a transaction of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(server.url(SUPERUSER))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


@contextmanager
def started(server: Server, name: str, log: Path, workers: int = 1) -> Iterator[App]:
    """The app `name` of APPS under gunicorn, until the block ends; its output goes to the file `log`."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *APPS[name], "--bind", f"{HOST}:{port}"],
            cwd=ROOT,
            env=os.environ | server.environment() | {"WEB_CONCURRENCY": str(workers)},
            stdout=output,
            stderr=output,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - says so to the kernel before it starts
        )
    try:
        app = App(f"http://{HOST}:{port}", psutil.Process(process.pid))
        _wait(app, process, log)
        yield app
    finally:
        process.terminate()
        process.wait()


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
            time.sleep(0.05)
        else:
            return
