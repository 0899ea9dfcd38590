"""Pages deep in a list of a million: by `after`, and by `offset`, as deep as that goes."""

import statistics

from api.schemas.fields import MAX_OFFSET
from benchmarks import chart, load
from benchmarks.load import Request
from benchmarks.report import Section, table
from benchmarks.stack import ANIMALS, Zoo

PAGE = 100


def measure(zoo: Zoo) -> Section:
    """Measure the latency of a page of 100, with one client."""
    zoo.add_animals(max(0, zoo.scale.deep_rows + 10 * PAGE - ANIMALS))
    depths = [10**power for power in range(1, 7) if 10**power <= zoo.scale.deep_rows]
    ways = ("after", "offset")
    found: dict[tuple[str, int], list[float]] = {
        (way, depth): [] for way in ways for depth in depths if way == "after" or depth <= MAX_OFFSET
    }
    with zoo.serve("ours") as app:
        load.send(app, Request("/animals"), seconds=1)
        for _ in range(min(zoo.scale.rounds, 3)):
            for (way, depth), medians in found.items():
                request = Request(f"/animals?{way}={depth}")
                medians.append(load.send(app, request, seconds=1, connections=1).p50 * 1e3)
    latency = {key: statistics.median(medians) for key, medians in found.items()}
    rows = [
        [
            f"{depth:,}",
            f"**{latency['after', depth] / latency['after', depths[0]]:.2f}**",
            f"{latency['offset', depth] / latency['offset', depths[0]]:.2f}" if depth <= MAX_OFFSET else "refused",
            f"{latency['after', depth]:.1f} ms",
            f"{latency['offset', depth]:.1f} ms" if depth <= MAX_OFFSET else "",
        ]
        for depth in depths
    ]
    svg = chart.lines(
        {way: [(depth, latency[way, depth]) for depth in depths if (way, depth) in latency] for way in ways},
        "records before the page",
        "milliseconds a page of 100",
    )
    text = (
        f"Of {zoo.scale.deep_rows:,} animals, pages of {PAGE}, one client; p50. The pages in `Link` use `after`.\n\n"
        "![Pages deep in a list](pages.svg)\n\n"
        f"{table(['records before', 'after, of the first', 'offset, of the first', 'after', 'offset'], rows)}"
    )
    return Section("Pages deep in a list", text, {"pages.svg": svg})
