"""A Postgres with a streaming replica, each on a port of its own, and both made anew for each test."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import psutil

from local.postgres import DATABASE, SUPERUSER, binaries, serve
from tests.conftest import FAST_AND_FORGETFUL, ROOT
from tests.ports import find_free_port

OPTIONS = {
    **FAST_AND_FORGETFUL,
    "synchronous_commit": "on",  # otherwise the WAL has a commit only some time after it was confirmed
    "listen_addresses": "127.0.0.1",
    "wal_retrieve_retry_interval": "100ms",
    "max_standby_streaming_delay": "0",  # what is replayed ends a query that is in its way at once
}


class Node:
    """A server that can be ended, and started again."""

    def __init__(self, data: Path) -> None:
        self.data, self.port, self.running = data, find_free_port(), ExitStack()

    def start(self) -> None:
        self.running.enter_context(serve(self.data, {**OPTIONS, "port": str(self.port)}))

    def stop(self) -> None:
        self.running.close()

    def kill(self) -> None:
        """End all its processes, without any warning."""
        processes = self.processes()
        for process in processes:
            process.kill()
        self.running.close()
        psutil.wait_procs(processes)

    def processes(self) -> list[psutil.Process]:
        """The server's, and those of its sessions."""
        server = psutil.Process(int((self.data / "postmaster.pid").read_text().splitlines()[0]))
        return [server, *server.children(recursive=True)]

    def url(self, role: str = "zoo_api", database: str = DATABASE) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    async def do(self, *statements: str, database: str = DATABASE) -> object:
        """Run statements as the superuser, each by itself; the first value that the last one returns."""
        connection: asyncpg.Connection = await asyncpg.connect(self.url(SUPERUSER, database))
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()


@contextmanager
def primary_of(origin: Path, folder: Path) -> Iterator[Node]:
    """A server with a copy of the data in `origin`, of a server that was ended."""
    node = Node(folder / "primary")
    copy_of(origin, node.data)
    try:
        node.start()
        yield node
    finally:
        node.stop()


@contextmanager
def replica_of(primary: Node, origin: Path, folder: Path, name: str = "replica") -> Iterator[Node]:
    """A server that follows `primary`, whose data began as the same copy."""
    node = Node(folder / name)
    copy_of(origin, node.data)
    (node.data / "standby.signal").touch()
    with (node.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = 'host=127.0.0.1 port={primary.port} user={SUPERUSER}'\n")
    try:
        node.start()
        yield node
    finally:
        node.stop()


def swap(primary: Node, restored: str, before: str) -> None:
    """Put the database `restored` in the place of the api's, as `make restore` does at its end."""
    environment = {
        "PATH": f"{binaries()}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(primary.port),
        "POSTGRES_USER": SUPERUSER,
        "POSTGRES_DB": DATABASE,
    }
    command = [str(ROOT / "deploy" / "postgres" / "backup.sh"), "swap", restored, before]
    subprocess.run(command, env=environment, check=True)


def copy_of(origin: Path, data: Path) -> None:
    subprocess.run(["cp", "--archive", origin, data], check=True)
