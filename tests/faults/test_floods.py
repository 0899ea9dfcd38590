"""Clients that send as much as they can of what a server keeps in memory: heads, header fields, further requests."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from local.postgres import Server
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import rounds

HEAD = b"GET /health HTTP/1.1\r\nHost: zoo\r\n"
# Of a request that is answered only after it has been read.
CHUNK = (
    b"POST /animals HTTP/1.1\r\nHost: zoo\r\nAuthorization: Bearer keeper\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
)
HEAD_MEGABYTES = rounds(quick=20, full=80)
CONNECTIONS, SEGMENT = 40, 240_000
GROWTH = 64 * 2**20  # bytes, of both workers together; the connections may keep 9.6 MB
FLOODS = {
    "a header": (4, HEAD + b"X-Y: " + b"y" * (HEAD_MEGABYTES * 2**20)),
    "a URL": (4, b"GET /" + b"x" * (HEAD_MEGABYTES * 2**20)),
    "header fields": (4, HEAD + b"a:\r\n" * (HEAD_MEGABYTES * 2**18)),
    "trailers": (4, CHUNK + b"0\r\n" + b"a:\r\n" * (HEAD_MEGABYTES * 2**18)),
    "half an end of the line": (4, CHUNK + b"\r" * (HEAD_MEGABYTES * 2**20)),
    "requests": (CONNECTIONS, (HEAD + b"\r\n") * (SEGMENT // len(HEAD))),
    "more requests": (4, (HEAD + b"\r\n") * (HEAD_MEGABYTES * 2**20 // len(HEAD))),
}


async def flood(port: int, sent: bytes) -> None:
    """Send all of it, as far as the server reads it, and read nothing for a second."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(5):
            writer.write(sent)
            await writer.drain()
            await asyncio.sleep(1)
    writer.transport.abort()


async def test_a_flood_costs_little_memory_and_no_worker(
    server: Server, worker_database: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """One after the other, on the same workers: what one flood costs too much is not there yet when it begins."""
    port, grown = find_free_port(), dict.fromkeys(FLOODS, 0)
    with gunicorn(server.environment(worker_database), port, tmp_path / "api.log") as master:
        workers = psutil.Process(master.pid).children()

        def memory() -> int:
            return sum(worker.memory_info().rss for worker in workers)

        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, verify=False) as client:
            for name, (connections, sent) in FLOODS.items():
                before = memory()
                floods = asyncio.gather(*(flood(port, sent) for _ in range(connections)))
                while not floods.done():
                    assert (await client.get("/health")).status_code == 200, name
                    grown[name] = max(grown[name], memory() - before)
                    await asyncio.sleep(0.02)
                assert psutil.Process(master.pid).children() == workers, name
    record_property("measured", f"MiB more in both workers: { {name: most // 2**20 for name, most in grown.items()} }")
    assert {name: most for name, most in grown.items() if most >= GROWTH} == {}
