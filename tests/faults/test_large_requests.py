"""Requests of the largest size, and answers that could be as large: what they cost the api, and Postgres."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import psutil

from local.postgres import Server
from tests.conftest import find_free_port, signed_in
from tests.processes.live import gunicorn
from tests.rounds import rounds

REQUESTS = rounds(quick=40, full=400)  # of each kind
FACTOR = 10  # of a small request's CPU: 110,000 keys took 500 times as much
AT_ONCE, PAGES = rounds(quick=(4, 5), full=(8, 90))
MEMORY = 64 * 2**20  # bytes, of a session of Postgres; it had several times the 80 MB of the page
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


async def test_pages_of_large_orders_take_little_memory_of_postgres_and_leave_none_out(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """The largest orders of earlier releases: 1,000 items of 200 characters of four bytes."""
    await admin.execute(
        "INSERT INTO orders (id) SELECT uuidv7() FROM generate_series(1, 100);"
        "INSERT INTO order_items (order_id, position, product, size, quantity)"
        " SELECT id, n, repeat('🦒', 200), 'big', 1 FROM orders, generate_series(0, 999) AS n;"
        "ANALYZE"
    )
    port = find_free_port()
    settings = server.environment(database) | {"WEB_CONCURRENCY": "1", "DATABASE_POOL_SIZE": str(AT_ONCE)}
    with gunicorn(settings, port, tmp_path / "api.log"):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=signed_in("keeper"), timeout=60
        ) as client:
            await asyncio.gather(*(client.get("/orders?limit=1") for _ in range(4 * AT_ONCE)))
            sessions = [
                row[0]
                for row in await admin.fetch(
                    "SELECT pid FROM pg_stat_activity WHERE usename = 'zoo_api' AND datname = current_database()"
                )
            ]
            before = {pid: memory_of(pid) for pid in sessions}
            answers = await asyncio.gather(*(client.get("/orders") for _ in range(AT_ONCE)))
            grown = max(memory_of(pid) - before[pid] for pid in sessions)
            sizes = [len(answer.content) for answer in answers]
            ids, answer = [], answers[0]
            for _ in range(PAGES):
                ids += [order["id"] for order in answer.json()["orders"]]
                answer = await client.get(answer.links["next"]["url"])
    record_property(
        "measured",
        f"{AT_ONCE} at once: {max(sizes) / 1e6:.2f} MB a page, {grown / 2**20:.0f} MiB more memory of a session",
    )
    assert {answer.status_code for answer in answers} == {200}
    newest = await admin.fetch("SELECT id::text FROM orders ORDER BY id DESC LIMIT $1", PAGES)
    assert ids == [row[0] for row in newest]  # each order is a page
    assert max(sizes) < 1.1e6
    assert grown < MEMORY


def memory_of(pid: int) -> int:
    """The peak of a process's own memory, in bytes, without memory that it shares with others."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    peak, shared = (int(status[name].split()[0]) * 1024 for name in ("VmHWM", "RssShmem"))
    return peak - shared
