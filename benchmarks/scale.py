"""`make bench-scale`: what each request costs with ten thousand animals and orders, and with ten million."""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import httpx

from benchmarks.scale_data import KEEPER, Growing
from benchmarks.scale_requests import FLUSH, REQUESTS, Cost, Meter, Places, get
from benchmarks.stack import Scale, Zoo, zoo
from local.postgres import SUPERUSER

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
SETTINGS = {"DATABASE_POOL_SIZE": "1", "WEB_CONCURRENCY": "1"}
WARM_UP = 40  # so that the connection knows types, and Postgres its catalogs
ENOUGH = 2.0  # times the pages of the smallest: more is growth

Found = dict[int, dict[str, Cost]]
"""By size and request."""


async def measure_size(zoo: Zoo, observer: asyncpg.Connection, size: int) -> dict[str, Cost]:
    """All requests, one after the other."""
    middle = await observer.fetchval("SELECT id FROM animals WHERE deleted_at IS NULL AND id >= $1 ORDER BY id LIMIT 1", size // 2)
    order = await observer.fetchval(
        "SELECT id FROM orders WHERE deleted_at IS NULL AND id >= uuidv7(interval '-4 years' + $1 * interval '5 s') ORDER BY id LIMIT 1",
        size // 2,
    )
    with zoo.serve("ours", environment=SETTINGS) as app:
        async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
            meter = Meter(client, observer, Places(middle, str(order)))
            first = await client.get("/animals?sort=name&limit=50")
            meter.places.by_name = str(first.links["next"]["url"]).partition("after=")[2].partition("&")[0]
            for _ in range(WARM_UP):
                await client.get(FLUSH)
            flushing = (await meter.measure(get(FLUSH), 0)).pages
            flushing *= 10 / 11  # its own was counted, too
            for request in REQUESTS:
                meter.costs[request.name] = cost = await meter.measure(request, flushing)
                print(f"{size:>10} {cost.pages:>10.1f} {cost.milliseconds:>8.1f} ms {cost.error or ''} {request.name}", flush=True)
    return meter.costs


async def measure(running: Zoo, sizes: Sequence[int]) -> Found:
    """Grow the zoo step by step, and measure at each size."""
    observer = await asyncpg.connect(running.server.url(SUPERUSER))
    growing, found = Growing(observer), {}
    try:
        for size in sizes:
            began = time.monotonic()
            await growing.grow(size)
            print(f"{size:,} animals and orders: {time.monotonic() - began:.0f} s", flush=True)
            found[size] = await measure_size(running, observer, size)
    finally:
        await observer.close()
    return found


def main() -> None:
    """Measure, and write SCALE.md and scale.svg."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    sizes = parser.parse_args().sizes
    with zoo(Scale(), filled=False) as running:
        found = asyncio.run(measure(running, sizes))
        Path("/tmp/backups-w/found.json").write_text(json.dumps({s: {n: vars(c) for n, c in f.items()} for s, f in found.items()}))


if __name__ == "__main__":
    main()
