"""Clients that make the api wait: for a request, for the rest of one, or until they read an answer."""

import asyncio
import re
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api.server.http_protocol import HttpProtocol
from api.settings import Settings
from local.postgres import Server
from tests.faults.test_overload import ANIMALS, FILL, MARGIN, POOL_SIZE, SESSIONS, duration, take_seconds
from tests.live.clients import load_on, outcomes, percentile
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import POOL_TIMEOUT, rounds

PATIENCE = 10  # seconds, in place of 75 for a next request, and of 60 for the rest of one, or for reading an answer
# Together more than the limit on open files; a starved machine takes long to let them all in.
IDLE, USUAL_FILES, SLOW_OF_A_KIND = rounds(quick=(100, 128, 10), full=(1_000, 1_024, 25))  # 1,024 is usual
MANY = 40  # answers of 200 KB: more than the buffers between the api and a client that reads nothing
CLIENTS, SECONDS = rounds(quick=(4, 2), full=(8, 4))
FACTOR = 3  # by which the others' median may be longer; and seconds, if other work has begun on the machine meanwhile
OTHER_WORK = rounds(quick=0.5, full=0.0)

HEALTH = b"GET /health HTTP/1.1\r\nHost: zoo\r\n\r\n"
LIST = b"GET /animals?limit=100 HTTP/1.1\r\nHost: zoo\r\n\r\n"
PATCH = (
    b"PATCH /animals/1 HTTP/1.1\r\nHost: zoo\r\nAuthorization: Bearer keeper\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n"
)
POST = b"POST /animals HTTP/1.1\r\nHost: zoo\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
# A part of a head, and of a body, the rest of which comes byte by byte; a body that never comes; nothing at all.
BEGUN = (HEALTH[:-4], POST, POST, b"")


@dataclass(frozen=True)
class Api:
    port: int
    worker: psutil.Process


@contextmanager
def soft_limit_on_files(limit: int) -> Iterator[None]:
    """Processes started in this block may have that many files open, unless they raise the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def connected(port: int, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which this was sent, and nothing is read. Its buffer for unread data is small."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(sent)
        connection.setblocking(False)
        yield connection


def what_came(connection: socket.socket) -> bytes:
    """What was received on a connection that the server has closed; TimeoutError if it has not."""
    came = b""
    connection.settimeout(MARGIN)
    with suppress(ConnectionError):
        while part := connection.recv(2**20):
            came += part
    return came


async def drip(connections: list[socket.socket]) -> None:
    """Send a byte a second."""
    while True:
        for connection in connections:
            with suppress(ConnectionError):
                connection.send(b"z")
        await asyncio.sleep(1)


@pytest.fixture
async def api(server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path) -> AsyncIterator[Api]:
    """An api with one worker, and with the usual limit on open files."""
    for statement in FILL:
        await admin.execute(statement)
    patience = {"KEEP_ALIVE_TIMEOUT": str(PATIENCE), "CLIENT_TIMEOUT": str(PATIENCE)}
    patience["DATABASE_POOL_TIMEOUT"] = POOL_TIMEOUT
    port, settings = find_free_port(), server.environment(database) | patience | {"WEB_CONCURRENCY": "1"}
    with ExitStack() as running:
        with soft_limit_on_files(USUAL_FILES):
            master = running.enter_context(gunicorn(settings, port, tmp_path / "api.log"))
        (worker,) = psutil.Process(master.pid).children()
        yield Api(port, worker)


def clients_of(worker: psutil.Process) -> int:
    """How many clients are connected to the worker; its database connections are Unix sockets."""
    return sum(found.status == psutil.CONN_ESTABLISHED for found in worker.net_connections("tcp"))


async def until(is_so: Callable[[], bool], seconds: float) -> float:
    """Wait until `is_so()`, and return how many seconds that took; TimeoutError if it takes longer than `seconds`."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_a_crowd_of_idle_and_slow_clients_does_not_stop_the_others_and_is_disconnected(
    api: Api, record_property: Callable[[str, object], None]
) -> None:
    worker = api.worker
    async with load_on(api.port, CLIENTS, ANIMALS) as before:
        await asyncio.sleep(SECONDS)
    memory = worker.memory_info().rss
    with ExitStack() as connections:
        idle = [connections.enter_context(connected(api.port, HEALTH)) for _ in range(IDLE)]
        slow = [connections.enter_context(connected(api.port, begun)) for begun in BEGUN for _ in range(SLOW_OF_A_KIND)]
        dripping = asyncio.create_task(drip(slow[: 2 * SLOW_OF_A_KIND]))
        await until(lambda: clients_of(worker) == len(idle) + len(slow), PATIENCE)
        memory = worker.memory_info().rss - memory
        async with load_on(api.port, CLIENTS, ANIMALS) as among:
            await asyncio.sleep(SECONDS)
        await until(lambda: clients_of(worker) == 0, 2 * PATIENCE)
        dripping.cancel()
        answers = {what_came(connection)[:12] for connection in idle}, {what_came(connection) for connection in slow}
    medians = [percentile(load.samples, 50) for load in (before, among)]
    rates = [len(load.samples) / duration(load.samples) for load in (before, among)]
    record_property(
        "measured",
        f"p50 {medians[0] * 1000:.0f} and {medians[1] * 1000:.0f} ms, {rates[0]:.0f} and {rates[1]:.0f} a second;"
        f" {memory / (IDLE + len(slow)) / 1024:.0f} KiB for each of the crowd",
    )
    assert answers == ({b"HTTP/1.1 200"}, {b""})
    assert {sample.status for sample in before.samples + among.samples} <= {200, 201}
    assert medians[1] < FACTOR * medians[0] + OTHER_WORK


async def test_clients_that_do_not_read_their_answers_hold_no_database_connection_and_are_disconnected(
    api: Api, admin: asyncpg.Connection, record_property: Callable[[str, object], None]
) -> None:
    await admin.execute("UPDATE animals SET description = repeat('x', 2000) WHERE id <= 100")
    with ExitStack() as connections:
        readers = [connections.enter_context(connected(api.port, MANY * LIST)) for _ in range(2 * POOL_SIZE)]
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + 1:
            if await admin.fetchval(f"{SESSIONS} AND state <> 'idle'"):
                quiet_since = time.monotonic()
            await asyncio.sleep(0.02)
        assert clients_of(api.worker) == len(readers)
        async with load_on(api.port, CLIENTS, ANIMALS) as among:
            await asyncio.sleep(1)
        disconnected = await until(lambda: clients_of(api.worker) == 0, 2 * PATIENCE)
        taken = [what_came(reader).count(b"HTTP/1.1 200") for reader in readers]
    record_property("measured", f"{outcomes(among.samples)}, disconnected {disconnected:.1f} s after that")
    assert {sample.status for sample in among.samples} <= {200, 201}
    assert max(taken) < MANY


@pytest.mark.parametrize("size", [2**15, 2**18], ids=["little", "much"])
async def test_a_client_that_does_not_read_a_last_answer_is_disconnected_however_little_is_left(
    size: int,
) -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"x" * size})

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # small, like a network's buffers
    http: Any = partial(HttpProtocol, settings=Settings(client_timeout=1))
    config = uvicorn.Config(app, http=http, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    with connected(listening.getsockname()[1], HEALTH.replace(b"Host", b"Connection: close\r\nHost")):
        await until(lambda: len(server.server_state.connections) == 1, PATIENCE)
        await until(lambda: not server.server_state.connections, PATIENCE)
    server.should_exit = True
    await serving


async def test_a_client_that_waits_for_the_api_is_not_disconnected(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    """Even if the api leaves the rest of a second request unread until it has answered the first, which takes long."""
    patience = 1
    for statement in (*FILL, take_seconds("animals", 2.5 * patience)):
        await admin.execute(statement)
    port = find_free_port()
    settings = server.environment(database) | {"KEEP_ALIVE_TIMEOUT": str(patience), "CLIENT_TIMEOUT": str(patience)}
    with gunicorn(settings, port, tmp_path / "api.log"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LIST + PATCH + b"{")
        await asyncio.sleep(patience / 2)
        writer.write(b"}")
        answers = await reader.read()
        writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200"]
