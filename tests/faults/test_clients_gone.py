"""Clients that disconnect in the middle of a request."""

import asyncio
import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import psutil

from local.postgres import Server
from tests.faults.test_overload import ANIMALS, FILL, POOL_SIZE, SESSIONS
from tests.faults.test_slow_clients import clients_of
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import POOL_TIMEOUT, STALL, rounds
from tests.users import email_of

GONE, WARM_UP = rounds(quick=(1_000, 400), full=(10_000, 4_000))
AT_ONCE = 16
LONGEST_STAY = 0.05  # seconds; some stay for the beginning of the answer, however long that takes
GROWTH = rounds(quick=12, full=32) * 2**20  # bytes, of the worker's memory; it levels off at some 25 MiB
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: unsent data is dropped, and the other side gets RST
HELD = (
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE datname = current_database() AND usename = 'zoo_api'"
)
WRITTEN = "SELECT count(*) FROM animals WHERE name = 'Amara'"


def request(method: str, path: str, content: object = None, key: object = None) -> bytes:
    """A keeper's request."""
    body = content if isinstance(content, str) else "" if content is None else json.dumps(content)
    once = "" if isinstance(content, str) else f"Idempotency-Key: {key or uuid4()}\r\n"  # a sign-in refuses one
    media_type = "application/x-www-form-urlencoded" if isinstance(content, str) else "application/json"
    return (
        f"{method} {path} HTTP/1.1\r\nHost: zoo\r\nAuthorization: Bearer keeper\r\nContent-Type: {media_type}\r\n"
        f"{once}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def some_request() -> bytes:
    """A request to read, add or change something."""
    animal = random.randint(1, ANIMALS)
    method, path, content = random.choice(
        [
            ("GET", f"/animals/{animal}", None),
            ("GET", "/animals?limit=20", None),
            ("POST", "/animals", {"name": "Amara", "exhibit_id": 1}),
            ("PATCH", f"/animals/{animal}", {"name": "Zuri", "exhibit_id": 2}),
        ]
    )
    return request(method, path, content)


async def go_away(port: int, make: Callable[[], bytes]) -> None:
    """Send a request, or a part of it, and disconnect: after a while, or once the answer begins; by FIN or RST."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = make()
    if random.random() < 0.25:
        writer.write(sent[: random.randrange(len(sent))])
        await asyncio.sleep(random.uniform(0, LONGEST_STAY))
    else:
        writer.write(sent)
        with suppress(TimeoutError):
            async with asyncio.timeout(random.choice([None, random.uniform(0, LONGEST_STAY)])):
                await reader.read(1)
    leave(writer, reset=random.random() < 0.5)


def leave(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()


async def many_go_away(port: int, number: int, make: Callable[[], bytes] = some_request) -> None:
    async def client() -> None:
        for _ in range(number // AT_ONCE):
            await go_away(port, make)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def until_all_are_gone(worker: psutil.Process, admin: asyncpg.Connection, seconds: float) -> None:
    """Wait until the worker has no client, and the api is at work in no session; TimeoutError if that takes longer."""
    async with asyncio.timeout(seconds):
        while clients_of(worker) or await admin.fetchval(f"{SESSIONS} AND state <> 'idle'"):
            await asyncio.sleep(0.05)


async def test_thousands_of_clients_that_disconnect_leave_nothing_behind(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    for statement in FILL:
        await admin.execute(statement)
    port, log = find_free_port(), tmp_path / "api.log"
    pool = {"DATABASE_POOL_SIZE": str(POOL_SIZE), "DATABASE_POOL_TIMEOUT": POOL_TIMEOUT}
    settings = server.environment(database) | pool | {"WEB_CONCURRENCY": "1"}
    with gunicorn(settings, port, log) as master:
        (worker,) = psutil.Process(master.pid).children()
        await many_go_away(port, WARM_UP)
        memory = worker.memory_info().rss
        await many_go_away(port, GONE - WARM_UP)
        await until_all_are_gone(worker, admin, 20)
        grown = worker.memory_info().rss - memory
        sessions, held = await admin.fetchval(SESSIONS), await admin.fetchval(HELD)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            answers = await asyncio.gather(*(client.get("/animals") for _ in range(5 * POOL_SIZE)))
        assert psutil.Process(master.pid).children() == [worker]
    statuses = Counter(re.findall(r'"status": (\d+)', log.read_text()))
    written = await admin.fetchval(WRITTEN)
    record_property(
        "measured",
        f"{written} animals written; {grown / 2**20:.1f} MiB more; in the log {dict(statuses)}",
    )
    assert sessions <= POOL_SIZE + 1  # and the probes' session
    assert held == 0
    assert {answer.status_code for answer in answers} == {200}
    assert written > GONE / 50
    assert grown < GROWTH
    assert "500" not in statuses


READ = request("GET", "/animals/1")
NEW = request("POST", "/animals", {"name": "Amara", "exhibit_id": 1}, key="one")
SIGN_IN = request("POST", "/auth/jwt/login", f"username={email_of('keeper')}&password=wrong")
UPLOAD = request("POST", "/animals", {"name": "Amara", "exhibit_id": 1, "description": "x" * 1000})[:-500]
# Requests that wait when their client disconnects: a read, with further reads behind it on the same connection, or an
# unfinished upload; a new animal, and the same again; a sign-in.
WAITING = [READ, READ * 4, READ + UPLOAD, READ + NEW, UPLOAD, NEW, NEW * 3]
WAITING += [SIGN_IN, NEW + SIGN_IN, SIGN_IN * 2]
ON = "animals, access_tokens, users, throttles, idempotency_keys"


async def test_clients_that_disconnect_while_their_requests_wait_are_no_error(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """All of them wait for one database connection, which waits for a lock; or are just being answered."""
    for statement in FILL:
        await admin.execute(statement)
    port, log = find_free_port(), tmp_path / "api.log"
    settings = {"WEB_CONCURRENCY": "1", "DATABASE_POOL_SIZE": "1", "DATABASE_POOL_TIMEOUT": "60"}
    with gunicorn(server.environment(database) | settings, port, log) as master:
        (worker,) = psutil.Process(master.pid).children()
        for reset, until in product((False, True), (0.75, 0.49)):
            async with admin.transaction():
                await admin.execute(f"LOCK TABLE {ON} IN ACCESS EXCLUSIVE MODE")
                for sent in WAITING:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(sent)
                    asyncio.get_running_loop().call_later(0.5, partial(leave, writer, reset=reset))
                await asyncio.sleep(until)
            await until_all_are_gone(worker, admin, 10 + STALL)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            last = await client.get("/animals/1")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    statuses = Counter(line["status"] for line in lines if line["event"] == "request")
    record_property("measured", f"in the log {dict(statuses)}")
    assert last.status_code == 200
    # At least so many: the api does not notice the end of a connection that it does not read, with requests waiting.
    assert statuses[499] >= len(WAITING)
    assert 500 not in statuses
    assert [line for line in lines if line["level"] in {"error", "critical"} or "exception" in line] == []
