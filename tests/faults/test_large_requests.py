"""Requests of the largest size: what they cost the api."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil

from local.postgres import Server
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import rounds

REQUESTS = rounds(quick=40, full=400)  # of each kind
FACTOR = 10  # of a small request's CPU: 110,000 keys took 500 times as much
FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
KEYS = [f'"{n:x}":0' for n in range(110_000)]
ATTACKS = {
    "a small body": (b"/auth/reset-password", JSON, b'{"token": "", "password": ""}'),
    "110,000 keys, 1 MiB": (b"/auth/reset-password", JSON, ("{" + ",".join(KEYS) + "}").encode()),
    "12,000 keys, by nobody": (b"/animals", JSON, ("{" + ",".join(KEYS[:12_000]) + "}").encode()),
    "900 keys": (b"/auth/reset-password", JSON, ("{" + ",".join(KEYS[:900]) + "}").encode()),
    "4,000 fields of a form": (b"/auth/jwt/login", FORM, b"a&" * 4_000),
    "8,000 arrays, one in the other": (b"/auth/reset-password", JSON, b"[" * 8_000),
    "a number of 8,000 digits": (b"/auth/reset-password", JSON, b"9" * 8_000),
    "1 MiB that is said to be gzip": (b"/auth/reset-password", JSON + b"\r\nContent-Encoding: gzip", b"x" * 2**20),
    "12,000 parameters": (b"/auth/reset-password?" + b"a&" * 12_000, JSON, b"{}"),
}  # fmt: skip


async def send(port: int, path: bytes, content_type: bytes, body: bytes) -> bytes:
    """The status of the answer, even if it arrives before all is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST %s HTTP/1.1\r\nHost: zoo\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    status = b"none"
    with suppress(ConnectionError):
        writer.write(head % (path, content_type, len(body)) + body)
        await writer.drain()
    with suppress(ConnectionError):
        status = (await reader.readline())[9:12] or status
        await reader.read()
    writer.close()
    return status


async def test_no_body_costs_many_times_as_much_as_a_small_one(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    assert admin
    port, costs, statuses = find_free_port(), {}, Counter[bytes]()
    with gunicorn(server.environment(database) | {"WEB_CONCURRENCY": "1"}, port, tmp_path / "api.log") as master:
        (worker,) = psutil.Process(master.pid).children()
        await send(port, *ATTACKS["a small body"])
        for name, attack in ATTACKS.items():
            before = sum(worker.cpu_times()[:2])
            for _ in range(REQUESTS):
                statuses[await send(port, *attack)] += 1
            costs[name] = (sum(worker.cpu_times()[:2]) - before) / REQUESTS
        assert psutil.Process(master.pid).children() == [worker]
    small = costs["a small body"]
    record_property(
        "measured",
        f"a small body {small * 1000:.1f} ms of CPU; "
        + ", ".join(f"{name} {cost / small:.1f} times" for name, cost in costs.items())
        + f"; {dict(statuses)}",
    )
    assert statuses.keys() <= {b"400", b"401", b"413", b"414", b"415", b"422", b"none"}
    assert {name: cost / small for name, cost in costs.items() if cost / small > FACTOR} == {}
