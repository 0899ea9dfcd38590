"""The api beside what is usual and what is possible. Alone: `python -m benchmarks.comparison --help`."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated

import httpx
import typer

from benchmarks import chart, load
from benchmarks.load import Load, LoadError, Request
from benchmarks.report import Section, table
from benchmarks.stack import ANIMALS, APPS, START_SECONDS, App, Scale, Zoo, zoo
from benchmarks.users import KEEPER

NEW = '{"name": "Bahati", "species": "Giraffa camelopardalis"}'
REQUESTS = {
    "GET one": Request("/animals/{id}", count=ANIMALS),
    "GET 100": Request("/animals?limit=100"),
    "GET 10": Request("/animals?limit=10"),
    "GET 1": Request("/animals?limit=1"),
    "POST": Request("/animals", "POST", token=KEEPER, body=NEW),
}
SET_BY_DATABASE = {"id", "created_at", "updated_at"}

Measured = Mapping[str, Mapping[str, Sequence[Load]]]
"""The rounds of each request and app."""


def measure(zoo: Zoo) -> Section:
    """All of the requests."""
    found = compare(zoo, list(REQUESTS))
    text = (
        "`GET one` reads an animal by its id, `GET 100`, `10` and `1` a list of so many, `POST` creates an animal"
        ", for a keeper whose token is looked up"
        ". *ours* is the api as in production, with its access log; *usual* is"
        " [usual.py](usual.py), FastAPI with SQLAlchemy's ORM as tutorials and public templates write it; *floor* is"
        " [floor.py](floor.py), a bare ASGI app with the driver and orjson, which validates nothing. The answers are"
        " the same. Higher is better, for requests a second and for requests a second of the server's CPU time; the"
        " latter is steadier, because the load and Postgres share the cores.\n\n"
        f"![Beside the usual and the floor](comparison.svg)\n\n{as_table(found)}"
    )
    return Section("Beside the usual and the floor", text, {"comparison.svg": draw(found)})


def compare(zoo: Zoo, names: Sequence[str]) -> Measured:
    """Measure the requests `names`, in rounds in which each app has its turn."""
    with ExitStack() as running:
        apps = {name: running.enter_context(zoo.serve(name)) for name in APPS}
        check(apps)
        found: dict[str, dict[str, list[Load]]] = {}
        for name in names:
            for app in apps.values():
                load.send(app, REQUESTS[name], seconds=1)
            found[name] = {app: [] for app in apps}
            for _ in range(zoo.scale.rounds):
                for app_name, app in apps.items():
                    found[name][app_name].append(load.send(app, REQUESTS[name], seconds=zoo.scale.seconds))
        return found


def check(apps: Mapping[str, App]) -> None:
    """AssertionError unless all apps give the same answers."""
    for path in ("/animals/1", "/animals?limit=100"):
        answers = {name: _ask(app, path).json() for name, app in apps.items()}
        assert all(answer == answers["ours"] for answer in answers.values()), answers
    shown = {}
    for name, app in apps.items():
        assert _post(app).status_code == httpx.codes.UNAUTHORIZED, name
        made = _post(app, Authorization=f"Bearer {KEEPER}")
        assert made.status_code == httpx.codes.CREATED, made
        shown[name] = [(key, None if key in SET_BY_DATABASE else value) for key, value in made.json().items()]
    assert all(answer == shown["ours"] for answer in shown.values()), shown


def _ask(app: App, path: str) -> httpx.Response:
    return httpx.get(app.url + path, timeout=START_SECONDS).raise_for_status()


def _post(app: App, **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | headers
    return httpx.post(f"{app.url}/animals", content=NEW, headers=headers, timeout=START_SECONDS)


def as_table(found: Measured) -> str:
    """A table of ratios, medians and spread."""
    rows = []
    for request, apps in found.items():
        medians = {app: load.median(rounds) for app, rounds in apps.items()}
        usual, floor = medians["usual"], medians["floor"]
        for app, now in medians.items():
            rates = [round_.rate for round_ in apps[app]]
            rows.append(
                [
                    request if app == "ours" else "",
                    app,
                    f"**{now.rate / usual.rate:.2f}**",
                    f"**{usual.cpu / now.cpu:.2f}**",
                    f"{now.rate / floor.rate:.2f}",
                    f"{floor.cpu / now.cpu:.2f}",
                    f"{now.rate:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
                    f"{now.cpu * 1e6:,.0f} µs",
                    f"{now.p50 * 1e3:.1f} ms",
                    f"{now.p99 * 1e3:.1f} ms",
                ]
            )
    header = "request|app|x usual|CPU: x usual|x floor|CPU: x floor|requests/s (least to most)|CPU/request|p50|p99"
    return table(header.split("|"), rows)


def draw(found: Measured) -> str:
    """Each request's apps as bars, as shares of the floor."""
    panels: dict[str, dict[str, dict[str, tuple[float, str]]]] = {
        "requests a second": {},
        "requests a second of the server's CPU": {},
    }
    by_rate, by_cpu = panels.values()
    for request, apps in found.items():
        medians = {app: load.median(rounds) for app, rounds in apps.items()}
        usual, floor = medians["usual"], medians["floor"]
        by_rate[request] = {
            app: (now.rate / floor.rate, f"{now.rate / usual.rate:.1f}x usual" if app != "usual" else "1")
            for app, now in medians.items()
        }
        by_cpu[request] = {
            app: (floor.cpu / now.cpu, f"{usual.cpu / now.cpu:.1f}x usual" if app != "usual" else "1")
            for app, now in medians.items()
        }
    return chart.bars(panels)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each app and request.")] = 5,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds per round.")] = 3,
    only: Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(REQUESTS)}; by default all.")] = None,
) -> None:
    """Measure ours, the usual and the floor in turn, and print a table."""
    if unknown := set(only or []) - REQUESTS.keys():
        sys.exit(f"error: no request is named {min(unknown)!r}; there are {', '.join(REQUESTS)}")
    try:
        with zoo(Scale(rounds, seconds)) as running:
            print(as_table(compare(running, only or list(REQUESTS))))
    except LoadError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    typer.run(main)
