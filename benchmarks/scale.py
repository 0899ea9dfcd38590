"""`make bench-scale`: what each request costs with ten thousand animals, and with ten million."""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from benchmarks import chart, scale_orders, scale_requests, scale_schema
from benchmarks.report import table
from benchmarks.scale_data import Growing, Rows
from benchmarks.scale_requests import FLUSH, TIMES, Cost, Meter, Request, get
from benchmarks.stack import HOST, Scale, Zoo, zoo
from local.ports import free_ports
from local.postgres import SUPERUSER

OTHERS: list[Rows] = [
    scale_orders.ROWS,
]
REQUESTS = [
    *scale_requests.REQUESTS,
    *scale_orders.REQUESTS,
]
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
CLEANED = 'sweeps_total{outcome="done",sweep="cleaning"}'
SEEN_AGAIN = "SELECT seen_at > started_at + interval '1 s' FROM migration_workers ORDER BY started_at DESC LIMIT 1"
SETTINGS = {"DATABASE_POOL_SIZE": "1", "WEB_CONCURRENCY": "1"}
WARM_UP = 40  # requests, so that the connection knows types, and Postgres its catalogs
# A request grows if it touches more than twice the pages, and some: an index has a level more, and a page its rows on
# pages of their own, because those of a small table share them.
GROWTH, SOME = 2.0, 600
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Measured:
    """At one size: the requests' costs, the seconds of CPU of schema changes, and the bytes of the database."""

    requests: Mapping[str, Cost]
    schema: Mapping[str, float]
    size: int


async def measure_requests(
    running: Zoo, observer: asyncpg.Connection, size: int, requests: Sequence[Request] = REQUESTS
) -> dict[str, Cost]:
    """One request after the other."""
    middle = await observer.fetchval("SELECT min(id) FROM animals WHERE deleted_at IS NULL AND id >= $1", size // 2)
    # Its animals came in one go, from all over the table.
    exhibit = await observer.fetchval("SELECT max(id) FROM exhibits")
    places = {"middle": str(middle), "exhibit": str(exhibit)}
    places |= await scale_orders.places(observer, size)
    (metrics_port,) = free_ports(1)
    with running.serve("ours", environment={**SETTINGS, "METRICS_PORT": str(metrics_port)}) as app:
        async with httpx.AsyncClient(base_url=app.url, timeout=60) as client:
            meter = Meter(client, observer, places)
            first = await client.get("/animals?sort=name&limit=50")
            meter.places["by_name"] = first.links["next"]["url"].partition("after=")[2].partition("&")[0]
            await _knows_its_work(observer, client, metrics_port)
            for _ in range(WARM_UP):
                await client.get(FLUSH)
            # Its own telling was counted, too; and sometimes that the api says that it is there.
            told = [(await meter.measure(get(FLUSH), 0)).pages for _ in range(3)]
            flushing = min(told) * TIMES / (TIMES + 1)
            return {request.name: await meter.measure(request, flushing) for request in requests}


async def _knows_its_work(observer: asyncpg.Connection, client: httpx.AsyncClient, metrics_port: int) -> None:
    """Wait until the api has cleaned once, and has said twice that it is there: each teaches the same connection, and
    costs little from then on.
    """
    while not await observer.fetchval(SEEN_AGAIN):
        await asyncio.sleep(0.5)
    while True:
        with suppress(httpx.ConnectError):  # its metrics are served by another process, which may start later
            if CLEANED in (await client.get(f"http://{HOST}:{metrics_port}/metrics")).text:
                return
        await asyncio.sleep(0.5)


async def measure(
    running: Zoo,
    sizes: Sequence[int],
    folder: Path,
    requests: Sequence[Request] = REQUESTS,
    steps: Mapping[str, Sequence[str]] = scale_schema.STEPS,
) -> dict[int, Measured]:
    """Grow the zoo step by step, measure at each size, and write at once what is found so far."""
    observer = await asyncpg.connect(running.server.url(SUPERUSER))
    growing, found = Growing(observer, OTHERS), {}
    try:
        for size in sizes:
            began = time.monotonic()
            await growing.grow(size)
            costs = await measure_requests(running, observer, size, requests)
            stored = await observer.fetchval("SELECT pg_database_size(current_database())")
            schema = await asyncio.to_thread(scale_schema.measure, running, steps)
            found[size] = Measured(costs, schema, stored)
            write(folder, found)
            print(f"{size:,} animals: {time.monotonic() - began:.0f} s", flush=True)
    finally:
        await observer.close()
    return found


def grows(found: Mapping[int, Measured], name: str) -> bool:
    """Whether a request costs more at any size than at the smallest, or fails."""
    first, *others = (found[size].requests[name] for size in sorted(found))
    return any(cost.error is not None or cost.pages > GROWTH * first.pages + SOME for cost in others)


def write(folder: Path, found: Mapping[int, Measured]) -> None:
    """Write SCALE.md and scale.svg."""
    sizes = sorted(found)
    names = list(found[sizes[0]].requests)
    growing = [name for name in names if grows(found, name)]
    lines = {name: [(size, max(1.0, found[size].requests[name].pages)) for size in sizes] for name in names}
    worst = sorted(growing, key=lambda name: -lines[name][-1][1])[: len(chart.COLOURS)]
    svg = chart.lines(
        {name: lines[name] for name in worst},
        "animals, and as much of all else",
        "pages of 8 KiB that a request touches",
        [lines[name] for name in names if name not in worst],
    )
    (folder / "scale.svg").write_text(svg)
    costs = table(
        ["request", *(f"{size:,}" for size in sizes), ""],
        [
            [f"`{name}`", *(_cost(found[size].requests[name]) for size in sizes), "grows" if name in growing else ""]
            for name in names
        ],
    )
    schema = table(
        ["what", *(f"{size:,}" for size in sizes)],
        [[step, *(f"{found[size].schema[step]:.1f} s" for size in sizes)] for step in found[sizes[0]].schema]
        + [["the database", *(f"{found[size].size / 2**20:,.0f} MiB" for size in sizes)]],
    )
    (folder / "SCALE.md").write_text(
        "# What grows\n\n"
        "`make bench-scale` writes this file: a database of so many animals, and as much of all else, is generated, on"
        " Postgres's default settings (128 MiB of cache), and each request sent by one client. Pages are those of"
        " Postgres's cache that a request touches, found there or read; they do not depend on the machine. Milliseconds"
        f" are those of CPU that Postgres uses, by {TIMES} requests. What the api does by itself meanwhile is among"
        " them: some tens of pages, now and then. [docs/scale.md](../docs/scale.md) says what follows.\n\n"
        "![Pages that a request touches](scale.svg)\n\n"
        f"Of {len(names)} requests, {len(growing)} grow: they touch more than {GROWTH:g} times the pages, and {SOME}"
        f" more, or fail. The thin lines are all others.\n\n{costs}\n\n## The schema\n\n"
        f"Seconds of CPU, of Postgres and of the command.\n\n{schema}\n"
    )


def _cost(cost: Cost) -> str:
    failed = f", **{cost.error}**" if cost.error else ""
    return f"{cost.pages:,.0f} ({cost.milliseconds:.0f} ms{failed})"


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    sizes = parser.parse_args().sizes
    with zoo(Scale(), filled=False) as running:
        asyncio.run(measure(running, sizes, FOLDER))


if __name__ == "__main__":
    main()
