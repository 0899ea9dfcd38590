"""Pages of large orders: what they cost Postgres."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx

from local.postgres import Server
from tests.bearer import bearer
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import rounds

AT_ONCE, PAGES = rounds(quick=(4, 5), full=(8, 90))
MEMORY = 64 * 2**20  # bytes, of a session of Postgres; it had several times the 80 MB of the page


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
            base_url=f"http://127.0.0.1:{port}", headers=bearer("keeper"), timeout=60
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
