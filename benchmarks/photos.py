"""Photos: what they add to a list, and what it takes to make their renditions."""

import statistics
import sys
import tempfile
from io import BytesIO
from typing import Any

from PIL import Image

from api.decoder.run import CHILD, NICENESS, SIDES
from benchmarks import command, load
from benchmarks.load import Request
from benchmarks.report import Section, table
from benchmarks.stack import Zoo

LIST = Request("/animals?limit=100&after={id}", count=70)
# Nothing is asked of it: lists only name the address.
STORAGE = {
    "S3_URL": "http://127.0.0.1:9",
    "S3_BUCKET": "zoo-private",
    "S3_PUBLIC_BUCKET": "zoo-public",
    "S3_ACCESS_KEY_ID": "zoo_api",
    "S3_SECRET_ACCESS_KEY": "never asked for",
}
WITH = "UPDATE animals SET photo = md5(id::text), photo_alt = name || ' at the water hole'"
WITHOUT = "UPDATE animals SET photo = NULL, photo_alt = NULL"
PHONE, LARGEST = (4032, 3024), (8160, 6120)
KINDS: dict[str, tuple[tuple[int, int], str, dict[str, Any]]] = {
    "JPEG of a phone, 12 million pixels": (PHONE, "JPEG", {"quality": 85}),
    "JPEG, 50 million": (LARGEST, "JPEG", {"quality": 60}),
    "progressive JPEG, 50 million": (LARGEST, "JPEG", {"quality": 60, "progressive": True}),
    "PNG, 12 million": (PHONE, "PNG", {"compress_level": 1}),
    "WebP, 12 million": (PHONE, "WEBP", {"quality": 60, "method": 0}),
    "WebP, 50 million": (LARGEST, "WEBP", {"quality": 60, "method": 0}),
}


def measure(zoo: Zoo) -> Section:
    """Measure lists with and without photos, and the decoder."""
    text = f"{_lists(zoo)}\n\nThe decoder, one process a photo, one photo at a time:\n\n{_renditions(zoo.scale.rounds)}"
    return Section("Photos", text)


def _lists(zoo: Zoo) -> str:
    found: dict[str, list[load.Load]] = {"without photos": [], "with photos": []}
    with zoo.serve("ours", environment=STORAGE) as app:
        for _ in range(zoo.scale.rounds):
            for name, change in zip(found, (WITHOUT, WITH), strict=True):
                zoo.execute(change, "VACUUM (FULL, ANALYZE) animals")
                found[name].append(load.send(app, LIST, seconds=zoo.scale.seconds))
    zoo.execute(WITHOUT, "VACUUM (FULL, ANALYZE) animals")
    rows = [
        [
            name,
            f"{_median(each, 'rate'):,.0f}/s",
            f"{_median(each, 'cpu') * 1e6:,.0f} µs",
            f"{_median(each, 'p50') * 1e3:.1f} ms",
        ]
        for name, each in found.items()
    ]
    return table(["a list of 100 animals", "rate", "CPU/request", "p50"], rows)


def _median(loads: list[load.Load], what: str) -> float:
    return float(statistics.median(getattr(each, what) for each in loads))


def _renditions(rounds: int) -> str:
    rows = []
    for name, (size, kind, options) in KINDS.items():
        data = _photo(size, kind, **options)
        runs = [_decode(data) for _ in range(min(rounds, 3))]
        seconds, cpu, peak = (statistics.median(each) for each in zip(*runs, strict=True))
        rows.append(
            [name, f"{len(data) / 2**20:.1f} MiB", f"{2 / seconds:.1f}/s", f"{cpu:.2f} s", f"{peak / 2**20:.0f} MiB"]
        )
    return table(["photo", "file", "renditions", "CPU", "most memory (RSS)"], rows)


def _photo(size: tuple[int, int], kind: str, **options: Any) -> bytes:
    file, coarse = BytesIO(), Image.effect_noise((size[0] // 8, size[1] // 8), 60)
    coarse.convert("RGB").resize(size).save(file, kind, **options)
    return file.getvalue()


def _decode(data: bytes) -> command.Taken:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return command.run([sys.executable, "-I", str(CHILD), str(NICENESS), *map(str, SIDES)], {}, file)
