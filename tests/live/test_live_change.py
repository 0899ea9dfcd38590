"""Two columns of a large table are renamed under load, from one release of the api to the next."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import ROOT, alembic
from tests.live.clients import PAUSE, Sample, load_on, outcomes, percentile
from tests.live.releases import CONTRACT, EXPAND, NEW, NEWEST_NEEDED, OLD, new_release
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import POOL_TIMEOUT, STALL, rounds

ROWS, UNDISTURBED_SECONDS = rounds(quick=(20_000, 1), full=(1_000_000, 10))
CLIENTS = rounds(quick=4, full=8)
# The tests of what the new release changes, or all.
OWN_TESTS = rounds(
    quick=[
        f"tests/api/test_{subject}.py" for subject in ("records", "filters", "references", "imports", "concurrency")
    ],
    full=["tests/api"],
)
WORKERS = rounds(quick="0", full="2")  # to import all takes each of them longer than these tests
# Each revision in a run of its own, or all of a phase in one.
STEPS = rounds(quick=[NEWEST_NEEDED], full=[*EXPAND])
LAST_STEPS = rounds(quick=["head"], full=[*CONTRACT])
FILL = (
    "INSERT INTO exhibits (name) SELECT 'E' || n FROM generate_series(1, 100) n",
    f"INSERT INTO animals (name, exhibit_id) SELECT 'A' || n, 1 + n % 100 FROM generate_series(1, {ROWS}) n",
    "ANALYZE animals",
)


async def test_two_columns_of_a_large_table_are_renamed_and_no_request_fails(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for statement in FILL:
        await admin.execute(statement)
    checkout = new_release(tmp_path / "checkout")
    environment = server.environment(database) | {"DATABASE_POOL_TIMEOUT": POOL_TIMEOUT}
    old_port, new_port = find_free_port(), find_free_port()

    def upgrade(revision: str, phase: str = "all", code: int = 0) -> None:
        done = alembic(environment | {"MIGRATOR_PHASE": phase}, "upgrade", revision, cwd=checkout, timeout=600)
        assert done.returncode == code, done.stderr

    with ExitStack() as old_api, ExitStack() as new_api:
        old_api.enter_context(gunicorn(environment | {"RELEASE": OLD}, old_port, tmp_path / "old.log"))
        async with load_on(old_port, CLIENTS, ROWS, PAUSE) as load:
            await load.during("undisturbed", lambda: time.sleep(UNDISTURBED_SECONDS))
            for revision in STEPS:
                await load.during(revision, lambda: upgrade(revision, "expand"))  # noqa: B023 - done before the next
            api = gunicorn(environment | {"RELEASE": NEW}, new_port, tmp_path / "new.log", cwd=checkout)
            await load.during("start of the new release", lambda: new_api.enter_context(api))
            await load.during("contract, refused", lambda: upgrade("head", code=7))
            began = time.monotonic()
            await load.switch(new_port)
            await asyncio.to_thread(old_api.close)
            load.marks.append(("switch, and end of the old release", began, time.monotonic()))
            for revision in LAST_STEPS:
                await load.during(revision, lambda: upgrade(revision))  # noqa: B023

    report = _report(load.samples, load.marks)
    with capsys.disabled():
        print(f"\n{report}")  # noqa: T201 - what was measured
    assert {sample.status for sample in load.samples} == {200, 201}, outcomes(load.samples)
    assert max(sample.took for sample in load.samples if sample.kind == "write") < STALL
    assert alembic(environment, "check", cwd=checkout).returncode == 0
    added = sum(sample.status == 201 for sample in load.samples)
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
        p99 = percentile(found, 99) * 1000
        undisturbed = undisturbed or p99
        longest = max((sample.took * 1000 for sample in found if sample.kind == "write"), default=0)
        lines.append(
            f"{what:36}{ended - began:8.1f}{len(found):9}{statistics.median(took):8.1f}{p99:8.1f}"
            f"{p99 / undisturbed:7.1f}{longest:18.0f}"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("step", rounds(quick=[NEWEST_NEEDED], full=EXPAND))
def test_the_old_release_passes_its_own_tests_on_each_newer_schema(tmp_path: Path, step: str) -> None:
    checkout = new_release(tmp_path / "checkout")
    for revision in (checkout / "migrator" / "versions").glob("2099*.py"):
        if revision.stem.split("-")[1] not in list(EXPAND)[: list(EXPAND).index(step) + 1]:
            revision.unlink()
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "ZOO"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "--numprocesses", WORKERS, *OWN_TESTS],
        cwd=ROOT, env={**outside, "ZOO_TEST_SCHEMA": str(checkout)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
