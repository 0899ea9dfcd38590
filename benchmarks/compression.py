"""What gzip, and a client that has the answer already, change of a list of 100: bytes, and the server's CPU."""

import csv
import json
import statistics
import time
import zlib

import httpx

from api.http.compression import GZIP_FORMAT, LEVEL
from benchmarks import load
from benchmarks.load import Load, Request
from benchmarks.report import Section, table
from benchmarks.stack import ROOT, App, Zoo

PATH = "/animals?limit=100"
LEVELS = range(1, 10)
TIMES = 50
PLAIN = "as it is"


def measure(zoo: Zoo) -> Section:
    """The list as it is, compressed, and not sent because it has not changed; and each level of compression."""
    with zoo.serve("ours") as app:
        asked = {PLAIN: "Accept-Encoding: identity", "gzip": "Accept-Encoding: gzip"}
        plain = _get(app, asked[PLAIN])
        asked["unchanged (304)"] = f"If-None-Match: {plain.headers['ETag']}"
        requests = {name: Request(PATH, header=header) for name, header in asked.items()}
        found: dict[str, list[Load]] = {name: [] for name in requests}
        for request in requests.values():
            load.send(app, request, seconds=1)
        for _ in range(zoo.scale.rounds):
            for name, request in requests.items():
                found[name].append(load.send(app, request, seconds=zoo.scale.seconds))
        sizes = {name: int(_get(app, header).headers.get("Content-Length", 0)) for name, header in asked.items()}
    medians = {name: load.median(rounds) for name, rounds in found.items()}
    rows = [
        [
            name,
            f"**{now.cpu / medians[PLAIN].cpu:.2f}**",
            f"**{sizes[name] / sizes[PLAIN]:.2f}**",
            f"{now.cpu * 1e6:,.0f} µs",
            f"{sizes[name]:,} bytes",
            f"{now.rate:,.0f}",
        ]
        for name, now in medians.items()
    ]
    header = ["the list", "CPU, of as it is", "body, of as it is", "CPU/request", "body", "requests/s"]
    text = (
        f"`GET {PATH}`, for clients that send no `Accept-Encoding`, `Accept-Encoding: gzip`, or the `ETag` of what they"
        f" have. These animals differ in little.\n\n{table(header, rows)}\n\nThe seed's animals, which differ as"
        f" real ones do, as such a list, at each level of zlib's; the api uses {LEVEL}:\n\n"
        f"{table(['level', 'body', 'body, of as it is', 'time'], _levels(_seed_as_list(plain.json()[0])))}"
    )
    return Section("Compression", text)


def _get(app: App, header: str) -> httpx.Response:
    name, _, value = header.partition(": ")
    return httpx.get(app.url + PATH, headers={"Accept-Encoding": "identity", name: value})


def _seed_as_list(like: dict[str, object]) -> bytes:
    with (ROOT / "seed" / "animals.csv").open() as lines:
        records = [like | row for row in csv.DictReader(lines)]
    return json.dumps(records, ensure_ascii=False, separators=(",", ":")).encode()


def _levels(body: bytes) -> list[list[str]]:
    rows = []
    for level in LEVELS:
        seconds, size = [], 0
        for _ in range(TIMES):
            began = time.perf_counter()
            compressor = zlib.compressobj(level, zlib.DEFLATED, GZIP_FORMAT)
            size = len(compressor.compress(body) + compressor.flush())
            seconds.append(time.perf_counter() - began)
        rows.append(
            [str(level), f"{size:,} bytes", f"{size / len(body):.2f}", f"{statistics.median(seconds) * 1e6:,.0f} µs"]
        )
    return rows
