"""Two columns of a table with a million rows get other names, under load, from one release of the api to the next."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import ROOT, alembic, find_free_port
from tests.live.releases import CONTRACT, EXPAND, NEW, OLD, new_release, serving

ROWS, CLIENTS = 1_000_000, 8
UNDISTURBED_SECONDS = 10
LONGEST_WRITE = 1.0
FILL = (
    "INSERT INTO exhibits (name) SELECT 'E' || n FROM generate_series(1, 100) n",
    f"INSERT INTO animals (name, exhibit_id) SELECT 'A' || n, 1 + n % 100 FROM generate_series(1, {ROWS}) n",
    "ANALYZE animals",
)


@dataclass
class Load:
    """Clients at work; `marks` are the times between which what was done."""

    process: "asyncio.subprocess.Process"
    marks: list[tuple[str, float, float]] = field(default_factory=list)

    async def during(self, what: str, work: Callable[[], object]) -> None:
        """Do `work` in a thread, and note when."""
        began = time.monotonic()
        await asyncio.to_thread(work)
        self.marks.append((what, began, time.monotonic()))

    async def switch(self, port: int) -> None:
        """Have all clients go to another api, as a load balancer does."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"switch {port}\n".encode())
        assert await self.process.stdout.readline() == b"switched\n"


@asynccontextmanager
async def load_on(port: int, samples: "list[Sample]") -> AsyncIterator[Load]:
    """Clients of the api on `port` until the block ends; then `samples` has what became of their requests."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "tests/live/load.py"), str(port), "keeper", str(CLIENTS), str(ROWS),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 30,
    )  # fmt: skip
    yield Load(process)
    out, _ = await process.communicate(b"")  # and the end of its input
    samples += [Sample(*sample) for sample in json.loads(out)]


@dataclass(frozen=True)
class Sample:
    """A request. Times are seconds."""

    kind: str
    began: float
    took: float
    status: int


async def test_two_columns_of_a_million_rows_are_renamed_and_no_request_fails(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for statement in FILL:
        await admin.execute(statement)
    checkout = new_release(tmp_path / "checkout")
    environment = server.environment(database)
    old_port, new_port = find_free_port(), find_free_port()
    samples: list[Sample] = []

    def upgrade(revision: str, phase: str = "all", code: int = 0) -> None:
        done = alembic(environment | {"MIGRATOR_PHASE": phase}, "upgrade", revision, cwd=checkout, timeout=600)
        assert done.returncode == code, done.stderr

    with ExitStack() as old_api, ExitStack() as new_api:
        old_api.enter_context(serving(ROOT, OLD, old_port, environment, tmp_path / "old.log"))
        async with load_on(old_port, samples) as load:
            await load.during("undisturbed", lambda: time.sleep(UNDISTURBED_SECONDS))
            for revision in EXPAND:
                await load.during(revision, lambda: upgrade(revision, "expand"))  # noqa: B023 - done before the next
            api = serving(checkout, NEW, new_port, environment, tmp_path / "new.log")
            await load.during("start of the new release", lambda: new_api.enter_context(api))
            await load.during("contract, refused", lambda: upgrade("head", code=7))
            began = time.monotonic()
            await load.switch(new_port)
            await asyncio.to_thread(old_api.close)
            load.marks.append(("switch, and end of the old release", began, time.monotonic()))
            for revision in CONTRACT:
                await load.during(revision, lambda: upgrade(revision))  # noqa: B023

    report = _report(samples, load.marks)
    with capsys.disabled():
        print(f"\n{report}")  # noqa: T201 - what was measured
    assert {sample.status for sample in samples} == {200, 201}
    assert max(sample.took for sample in samples if sample.kind == "write") < LONGEST_WRITE
    assert alembic(environment, "check", cwd=checkout).returncode == 0
    added = sum(sample.status == 201 for sample in samples)
    names = "SELECT count(*), count(*) FILTER (WHERE common_name IN ('Amara', 'Zuri')), count(home_id) FROM animals"
    rows, written, at_home = await admin.fetchrow(names) or (0, 0, 0)
    assert (rows, at_home) == (ROWS + added, ROWS + added)
    assert written > added
    kept = f"SELECT count(*) FROM animals WHERE id <= {ROWS} AND common_name NOT IN ('A' || id, 'Zuri')"
    assert await admin.fetchval(kept) == 0


def _report(samples: list[Sample], marks: list[tuple[str, float, float]]) -> str:
    lines = [f"{'':36}{'seconds':>8}{'requests':>9}{'p50 ms':>8}{'p99 ms':>8}{'ratio':>7}{'longest write ms':>18}"]
    undisturbed = None
    for what, began, ended in marks:
        found = [sample for sample in samples if began <= sample.began <= ended]
        took = [sample.took * 1000 for sample in found]
        p99 = statistics.quantiles(took, n=100)[98]
        undisturbed = undisturbed or p99
        longest = max((sample.took * 1000 for sample in found if sample.kind == "write"), default=0)
        lines.append(
            f"{what:36}{ended - began:8.1f}{len(found):9}{statistics.median(took):8.1f}{p99:8.1f}"
            f"{p99 / undisturbed:7.1f}{longest:18.0f}"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("step", EXPAND)
def test_the_old_release_passes_its_own_tests_on_each_newer_schema(tmp_path: Path, step: str) -> None:
    checkout = new_release(tmp_path / "checkout")
    for revision in (checkout / "migrator" / "versions").glob("2099*.py"):
        if revision.stem.split("-")[1] not in list(EXPAND)[: list(EXPAND).index(step) + 1]:
            revision.unlink()
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "ZOO"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "--numprocesses", "2", "tests/api"],
        cwd=ROOT, env={**outside, "ZOO_TEST_SCHEMA": str(checkout)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
