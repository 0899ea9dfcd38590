"""One worker beside two: the cost of a request must not grow with their number."""

from collections.abc import Mapping
from contextlib import ExitStack

from benchmarks import load
from benchmarks.comparison import REQUESTS
from benchmarks.report import Section, table
from benchmarks.stack import App, Zoo


def measure(zoo: Zoo) -> Section:
    """Measure the CPU time per request of all processes; the floor shows what of it is due to the machine."""
    rows = []
    for app_name in ("ours", "floor"):
        with ExitStack() as running:
            apps = {number: running.enter_context(zoo.serve(app_name, workers=number)) for number in (1, 2)}
            rows += [[request, app_name, *_compare(zoo, apps, request)] for request in ("GET one", "GET 100", "POST")]
    rows.sort(key=lambda row: list(REQUESTS).index(row[0]))
    header = "request|app|CPU/request, of one's|one worker|two workers|requests/s, one|requests/s, two"
    text = (
        "On cores that Postgres and wrk share, two workers can't show how they scale, but they show what a request"
        " costs. Four busy processes on two cores evict each other's caches: the floor's increase is the machine's,"
        f" and what ours increases beyond that is its own.\n\n{table(header.split('|'), rows)}"
    )
    return Section("One worker and two", text)


def _compare(zoo: Zoo, apps: Mapping[int, App], request: str) -> list[str]:
    found: dict[int, list[load.Load]] = {number: [] for number in apps}
    for app in apps.values():
        load.send(app, REQUESTS[request], seconds=1)
    for _ in range(zoo.scale.rounds):
        for number, app in apps.items():
            found[number].append(load.send(app, REQUESTS[request], seconds=zoo.scale.seconds))
    one, two = load.median(found[1]), load.median(found[2])
    costs = [f"{measured.cpu * 1e6:,.0f} µs" for measured in (one, two)]
    return [f"**{two.cpu / one.cpu:.2f}**", *costs, f"{one.rate:,.0f}", f"{two.rate:,.0f}"]
