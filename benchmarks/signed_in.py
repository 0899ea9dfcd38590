"""The cost of a request that is signed in."""

from benchmarks import load
from benchmarks.load import Load, Request
from benchmarks.report import Section, table
from benchmarks.stack import Zoo
from benchmarks.users import KEEPER

REQUESTS = {
    "GET /animals/1, by anybody": Request("/animals/1"),
    "GET /staff/1, by a keeper": Request("/staff/1", token=KEEPER),
}


def measure(zoo: Zoo) -> Section:
    """Measure a record that anybody may read, and one that only keepers may read."""
    found: dict[str, list[Load]] = {name: [] for name in REQUESTS}
    with zoo.serve("ours") as app:
        for request in REQUESTS.values():
            load.send(app, request, seconds=1)
        for _ in range(zoo.scale.rounds):
            for name, request in REQUESTS.items():
                found[name].append(load.send(app, request, seconds=zoo.scale.seconds))
    medians = {name: load.median(rounds) for name, rounds in found.items()}
    anonymous = next(iter(medians.values()))
    rows = [
        [
            name,
            f"**{now.cpu / anonymous.cpu:.2f}**",
            f"{now.cpu * 1e6:,.0f} µs",
            f"{now.rate:,.0f}",
            f"{now.p50 * 1e3:.1f} ms",
            f"{now.p99 * 1e3:.1f} ms",
        ]
        for name, now in medians.items()
    ]
    header = ["request", "CPU, of anybody's", "CPU/request", "requests/s", "p50", "p99"]
    return Section("Signed in", table(header, rows))
