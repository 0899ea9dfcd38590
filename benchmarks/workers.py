"""One worker beside two: what a request costs may not grow with their number."""

from contextlib import ExitStack

from benchmarks import load
from benchmarks.comparison import REQUESTS
from benchmarks.report import Section, table
from benchmarks.stack import Zoo


def measure(zoo: Zoo) -> Section:
    """CPU time of the whole process tree for each request."""
    rows = []
    with ExitStack() as running:
        apps = {number: running.enter_context(zoo.serve("ours", workers=number)) for number in (1, 2)}
        for name in ("GET one", "GET 100", "POST"):
            found: dict[int, list[load.Load]] = {1: [], 2: []}
            for app in apps.values():
                load.send(app, REQUESTS[name], seconds=1)
            for _ in range(zoo.scale.rounds):
                for number, app in apps.items():
                    found[number].append(load.send(app, REQUESTS[name], seconds=zoo.scale.seconds))
            one, two = load.median(found[1]), load.median(found[2])
            rows.append(
                [
                    name,
                    f"**{two.cpu / one.cpu:.2f}**",
                    f"{one.cpu * 1e6:,.0f} µs",
                    f"{two.cpu * 1e6:,.0f} µs",
                    f"{one.rate:,.0f}",
                    f"{two.rate:,.0f}",
                ]
            )
    header = ["request", "CPU/request, of one's", "one worker", "two workers", "requests/s, one", "requests/s, two"]
    text = (
        "On cores that Postgres and wrk share, two workers can't show how they scale; that a request costs no more CPU"
        f" time with them, they can.\n\n{table(header, rows)}"
    )
    return Section("One worker and two", text)
