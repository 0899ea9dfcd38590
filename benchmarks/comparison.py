"""The api beside what is usual and what is possible: `python -m benchmarks.comparison --help`."""

import statistics
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer

from benchmarks import load
from benchmarks.load import CONNECTIONS, Request
from benchmarks.stack import APPS, KEEPER, App, started, zoo
from local.postgres import Server

ANIMALS = 10_000
WARM_UP_SECONDS = 1
NEW = '{"name": "Bahati", "species": "Giraffa camelopardalis"}'
REQUESTS = {
    "GET one": Request(path="/animals/{id}", count=ANIMALS),
    "GET 100": Request(path="/animals?limit=100"),
    "POST": Request("POST", "/animals", token=KEEPER, body=NEW),
}
SET_BY_DATABASE = {"id", "created_at", "updated_at"}


@dataclass(frozen=True)
class Round:
    """One measurement: answers a second, the server's CPU seconds for each, and latencies in seconds."""

    rate: float
    cpu: float
    p50: float
    p99: float


def measure(app: App, request: Request, seconds: int) -> Round:
    """One round."""
    before = app.cpu_seconds()
    found = load.send(app.url, request, seconds)
    cpu = app.cpu_seconds() - before
    return Round(found.requests / found.seconds, cpu / found.requests, found.p50, found.p99)


def check(apps: Mapping[str, App]) -> None:
    """AssertionError unless all apps answer alike."""
    for path in ("/animals/1", "/animals?limit=100"):
        answers = {name: httpx.get(app.url + path).raise_for_status().json() for name, app in apps.items()}
        assert all(answer == answers["ours"] for answer in answers.values()), answers
    for name, app in apps.items():
        assert httpx.post(f"{app.url}/animals", content=NEW).status_code == httpx.codes.UNAUTHORIZED, name
    headers = {"Authorization": f"Bearer {KEEPER}", "Content-Type": "application/json"}
    made = {name: httpx.post(f"{app.url}/animals", headers=headers, content=NEW) for name, app in apps.items()}
    assert all(answer.status_code == httpx.codes.CREATED for answer in made.values()), made
    shown = [
        {name: value for name, value in answer.json().items() if name not in SET_BY_DATABASE}
        for answer in made.values()
    ]
    assert all(answer == shown[0] for answer in shown), shown
    assert {tuple(answer.json()) for answer in made.values()} == {tuple(made["ours"].json())}, made


def compare(
    server: Server, folder: Path, rounds: int, seconds: int, names: list[str]
) -> dict[str, dict[str, list[Round]]]:
    """For each of the requests `names`, and each app, `rounds` rounds of `seconds`, interleaved."""
    with ExitStack() as running:
        apps = {name: running.enter_context(started(server, name, folder / f"{name}.log")) for name in APPS}
        check(apps)
        found: dict[str, dict[str, list[Round]]] = {}
        for name in names:
            for app in apps.values():
                load.send(app.url, REQUESTS[name], WARM_UP_SECONDS)
            found[name] = {app: [] for app in apps}
            for _ in range(rounds):
                for app_name, app in apps.items():
                    found[name][app_name].append(measure(app, REQUESTS[name], seconds))
        return found


def table(found: Mapping[str, Mapping[str, list[Round]]]) -> str:
    """Markdown: medians, ratios and spread."""
    lines = [
        "| | app | x usual | x floor | requests/s (least to most) | CPU/request | x usual's | p50 | p99 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for request, apps in found.items():
        rate = {app: statistics.median(round_.rate for round_ in rounds) for app, rounds in apps.items()}
        cpu = {app: statistics.median(round_.cpu for round_ in rounds) for app, rounds in apps.items()}
        for app, rounds in apps.items():
            rates = [round_.rate for round_ in rounds]
            p50 = statistics.median(round_.p50 for round_ in rounds)
            p99 = statistics.median(round_.p99 for round_ in rounds)
            lines.append(
                f"| {request} | {app} | {rate[app] / rate['usual']:.2f} | {rate[app] / rate['floor']:.2f}"
                f" | {rate[app]:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"
                f" | {cpu[app] * 1e6:,.0f} µs | 1/{cpu['usual'] / cpu[app]:.2f}"
                f" | {p50 * 1e3:.1f} ms | {p99 * 1e3:.1f} ms |"
            )
    return "\n".join(lines)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each app and request.")] = 5,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds a round.")] = 4,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(REQUESTS)}; by default all.")] = None,
) -> None:
    """Measure ours, the usual and the floor in turn, and print a table."""
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as name, zoo(Path(name), ANIMALS) as server:
        typer.echo(table(compare(server, Path(name), rounds, seconds, only or list(REQUESTS))))
    typer.echo(f"\n{rounds} rounds of {seconds} s, {CONNECTIONS} connections, one worker each, {ANIMALS:,} animals")


if __name__ == "__main__":
    typer.run(main)
