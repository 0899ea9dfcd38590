"""What the client of S3 costs those who have nothing to do with it: CPU until the first answer, and memory."""

import json
import resource
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.report import Section, table
from benchmarks.stack import ROOT, Zoo

KEYS = {"S3_BUCKET": "zoo-private", "S3_PUBLIC_BUCKET": "zoo-public", "S3_ACCESS_KEY_ID": "key"}
# Nothing is asked of it.
SETTINGS: dict[str, dict[str, str]] = {
    "without S3": {},
    "with S3 by http": {"S3_URL": "http://storage.invalid", "S3_SECRET_ACCESS_KEY": "secret", **KEYS},
    "with S3 by https": {"S3_URL": "https://storage.invalid", "S3_SECRET_ACCESS_KEY": "secret", **KEYS},
}


def measure(zoo: Zoo) -> Section:
    """Measure a process that starts the api and answers one request, by its own CPU seconds."""
    rows = []
    for name, settings in SETTINGS.items():
        found = [_once(zoo, settings) for _ in range(zoo.scale.rounds)]
        cpu, memory = (statistics.median(values) for values in zip(*found, strict=True))
        rows.append([name, f"{cpu * 1e3:,.0f} ms", f"{memory / 2**20:.1f} MiB"])
    text = f"One process, until its first answer, `GET /animals/1`.\n\n{table(['', 'CPU', 'USS'], rows)}"
    return Section("The storage, for those who have none", text)


def _once(zoo: Zoo, settings: dict[str, str]) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.storage"],
        cwd=ROOT,
        env=zoo.environment() | settings,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cpu, memory = json.loads(done.stdout.splitlines()[-1])
    return cpu, memory


def main() -> None:
    """Start the api, and answer once; print the CPU seconds and the private memory, in bytes."""
    import asyncio  # noqa: PLC0415 - what follows is measured

    import httpx  # noqa: PLC0415
    import psutil  # noqa: PLC0415

    from api.main import create_app  # noqa: PLC0415

    if TYPE_CHECKING:
        from starlette.types import Receive, Scope, Send  # noqa: PLC0415

    async def answer() -> None:
        app = create_app()
        async with app.router.lifespan_context(app) as state:

            async def as_served(scope: "Scope", receive: "Receive", send: "Send") -> None:
                await app({**scope, "state": state}, receive, send)

            async with httpx.AsyncClient(transport=httpx.ASGITransport(as_served), base_url="http://zoo") as client:
                (await client.get("/animals/1")).raise_for_status()

    asyncio.run(answer())
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([used.ru_utime + used.ru_stime, psutil.Process().memory_full_info().uss]))


if __name__ == "__main__":
    main()
