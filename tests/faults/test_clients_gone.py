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
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import psutil

from local.postgres import Server
from tests.api.ordering import CAKE, TEA
from tests.conftest import find_free_port
from tests.faults.test_overload import ANIMALS, FILL, POOL_SIZE, SESSIONS
from tests.faults.test_slow_clients import clients_of
from tests.processes.live import gunicorn
from tests.rounds import rounds

GONE, WARM_UP = rounds(quick=(2_000, 1_000), full=(10_000, 4_000))
AT_ONCE = 16
LONGEST_STAY = 0.05  # seconds; some stay for the beginning of the answer, however long that takes
GROWTH = 32 * 2**20  # bytes, of the worker's memory; it levels off at some 25 MiB
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: unsent data is dropped, and the other side gets RST
ITEMS = [TEA, CAKE, TEA]
HELD = (
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE datname = current_database() AND usename = 'zoo_api'"
)
WRITTEN = (
    "SELECT count(*), count(*) FILTER (WHERE"
    " (SELECT count(*) FROM order_items WHERE order_id = orders.id) <> 3"
    " OR (SELECT count(*) FROM order_events WHERE order_id = orders.id) <> 1) FROM orders"
)


def some_request() -> bytes:
    """A request to read, add or change something."""
    animal = random.randint(1, ANIMALS)
    method, path, content = random.choice(
        [
            ("GET", f"/animals/{animal}", None),
            ("GET", "/orders?limit=20", None),
            ("POST", "/animals", {"name": "Amara", "exhibit_id": 1}),
            ("PATCH", f"/animals/{animal}", {"name": "Zuri", "exhibit_id": 2}),
            ("POST", "/orders", {"order": ITEMS}),
        ]
    )
    body = "" if content is None else json.dumps(content)
    return (
        f"{method} {path} HTTP/1.1\r\nHost: zoo\r\nAuthorization: Bearer keeper\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {uuid4()}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def go_away(port: int) -> None:
    """Send a request, or a part of it, and disconnect: after a while, or once the answer begins; by FIN or RST."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = some_request()
    if random.random() < 0.25:
        writer.write(request[: random.randrange(len(request))])
        await asyncio.sleep(random.uniform(0, LONGEST_STAY))
    else:
        writer.write(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(random.choice([None, random.uniform(0, LONGEST_STAY)])):
                await reader.read(1)
    if random.random() < 0.5:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()


async def many_go_away(port: int, number: int) -> None:
    async def client() -> None:
        for _ in range(number // AT_ONCE):
            await go_away(port)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def test_thousands_of_clients_that_disconnect_leave_nothing_behind(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    for statement in FILL:
        await admin.execute(statement)
    port, log = find_free_port(), tmp_path / "api.log"
    settings = server.environment(database) | {"WEB_CONCURRENCY": "1", "DATABASE_POOL_SIZE": str(POOL_SIZE)}
    with gunicorn(settings, port, log) as master:
        (worker,) = psutil.Process(master.pid).children()
        await many_go_away(port, WARM_UP)
        memory = worker.memory_info().rss
        await many_go_away(port, GONE - WARM_UP)
        async with asyncio.timeout(20):
            while clients_of(worker) or await admin.fetchval(f"{SESSIONS} AND state <> 'idle'"):
                await asyncio.sleep(0.05)
        grown = worker.memory_info().rss - memory
        sessions, held = await admin.fetchval(SESSIONS), await admin.fetchval(HELD)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            answers = await asyncio.gather(*(client.get("/animals") for _ in range(5 * POOL_SIZE)))
        assert psutil.Process(master.pid).children() == [worker]
    statuses = Counter(re.findall(r'"status": (\d+)', log.read_text()))
    orders, half_written = await admin.fetchrow(WRITTEN) or (0, 0)
    record_property(
        "measured",
        f"{orders} orders written, none by halves; {grown / 2**20:.1f} MiB more; in the log {dict(statuses)}",
    )
    assert sessions <= POOL_SIZE + 1  # and the probes' session
    assert held == 0
    assert {answer.status_code for answer in answers} == {200}
    assert orders > GONE / 50
    assert half_written == 0
    assert grown < GROWTH
    assert "500" not in statuses
