"""`make bench`, at the smallest scale, and the other benchmarks: that they measure, not what."""

import asyncio
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import (
    comparison,
    imports,
    linters,
    migrator,
    observing,
    scale,
    scale_requests,
    scale_schema,
    statements,
)
from benchmarks.__main__ import SUBJECTS, measure
from benchmarks.comparison import REQUESTS
from benchmarks.instructions import PATHS, READS
from benchmarks.scale_requests import Cost
from benchmarks.stack import APPS, Scale, Zoo, zoo
from tests.checkouts import write_quick_python
from tests.collector import collecting
from tests.python import ROOT, run
from tests.rounds import ROUNDS, rounds

LITTLE = Scale(rounds=1, seconds=1, requests=100, deep_rows=1_000, import_rows=1_000)
MEASURED = rounds(quick=[statements, imports], full=SUBJECTS)  # those with wrk take ten times as long


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A quick Python, where nobody looks at CPU that would not be its caller's."""
    if ROUNDS == "full":
        return sys.executable
    path = tmp_path_factory.mktemp("quick") / "python"
    write_quick_python(path)
    return str(path)


@pytest.fixture(scope="module")
def running(program: str) -> Iterator[Zoo]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", program)
            running = stack.enter_context(zoo(LITTLE))
        yield running


@pytest.fixture
def quick(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)


@pytest.mark.usefixtures("quick")
def test_every_subject_is_measured_and_written(running: Zoo, tmp_path: Path) -> None:
    """Among them that the compared apps give the same answers: their statements would not be comparable otherwise."""
    measure(running, tmp_path, MEASURED)
    results = (tmp_path / "RESULTS.md").read_text()
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", results, re.MULTILINE))
    assert len(sections) == len(MEASURED)
    assert all("\n| --- |" in text or "\n| ---: |" in text for text in sections.values())

    if comparison in MEASURED:
        beside = sections["Beside the usual and the floor"]
        compared = [line.split(" | ")[1] for line in beside.splitlines() if "µs" in line]
        assert compared == list(APPS) * len(REQUESTS)

    looked_up = [line for line in sections["What a request sends to Postgres"].splitlines() if "| ours |" in line]
    assert [line.count("access_tokens") for line in looked_up] == [0, 0, 1, 1]

    for chart in re.findall(r"!\[.*]\((.+)\)", results):
        assert ET.parse(tmp_path / chart).getroot().tag.endswith("svg")


def test_only_requests_that_are_answered_are_counted_and_they_are_observed(running: Zoo, tmp_path: Path) -> None:
    environment = running.environment() | {"PYTHONPATH": str(ROOT)}
    refused = run(str(READS), "/animals/0", "3", env=environment)
    assert refused.returncode != 0
    assert "HTTP/1.1 422" in refused.stderr
    with collecting() as collector:
        settings = observing.settings(collector.url, str(tmp_path))
        # Both at once, and each alone.
        observed = settings["metrics"] | settings["traces, 100 %"]
        for what in rounds(quick=[observed], full=[*settings.values(), observed]):
            command = [sys.executable, "-P", str(READS), PATHS[0], "100"]
            subprocess.run(command, env=environment | what, check=True)
            written = list(tmp_path.glob("histogram_*.db"))
            assert bool(written) == ("PROMETHEUS_MULTIPROC_DIR" in what), what
            for file in written:
                file.unlink()
        assert any(span.name == "GET /animals/{animal_id}" for span in collector.spans())


def test_every_linter_is_asked_about_every_example(tmp_path: Path) -> None:
    # The others of them are not in this environment: they would have to be got first.
    asked = rounds(quick=[linters.ALEMBIC_ONLINE, linters.SQUAWK], full=linters.LINTERS)
    here = Path(sysconfig.get_path("scripts"))
    programs = linters.install(tmp_path / "environment") if asked is linters.LINTERS else here
    some = rounds(quick=("safe_01", "unsafe_09"), full=("safe", "unsafe"))
    examples = [example for example in linters.find_examples() if example.name.startswith(some)]
    found = {linter.name: linters.measure(linter, programs, examples, rounds=1) for linter in asked}
    assert found["alembic-online"].reported == {example.name for example in examples if example.unsafe}
    assert found["squawk"].unread == {"unsafe_091"}  # which asks the database
    assert all(each.reported | each.unread <= {example.name for example in examples} for each in found.values())

    linters.write(tmp_path / "LINTERS.md", found, examples)
    listed = re.findall(r"^\| \[(?:un)?safe .*$", (tmp_path / "LINTERS.md").read_text(), re.MULTILINE)
    assert len(listed) == len(examples)


def test_a_run_is_measured_with_many_revisions_and_tables(tmp_path: Path) -> None:
    tables = rounds(quick=3, full=migrator.TABLES)
    steps = rounds(quick=(migrator.IMPORTED, migrator.RUN), full=tuple(migrator.STEPS))
    found = migrator.measure(tables, rounds=1, steps={step: migrator.STEPS[step] for step in steps})
    assert all(cpu > 0 for cpu, _ in found.values())
    assert migrator.tools_part(found) < migrator.LONGEST
    migrator.write(tmp_path / "MIGRATOR.md", found, tables)
    assert (tmp_path / "MIGRATOR.md").read_text().count("\n| ") == len(found) + 2


@pytest.fixture
def empty(running: Zoo) -> Iterator[Zoo]:
    truncate = "TRUNCATE animals, exhibits, users RESTART IDENTITY CASCADE"
    running.execute(truncate)
    yield running
    running.execute(truncate)
    running.fill()


def test_requests_are_measured_as_tables_grow(empty: Zoo, tmp_path: Path) -> None:
    requests = rounds(
        quick=[scale.REQUESTS[0], scale_requests.NEW_ANIMAL, scale.REQUESTS[-1]],
        full=scale.REQUESTS,
    )
    rehearsal = "rehearse, with 1,000 rows of each table"
    steps = rounds(quick={rehearsal: scale_schema.STEPS[rehearsal]}, full=scale_schema.STEPS)
    sizes = rounds(quick=(1_000,), full=(1_000, 10_000))
    found = asyncio.run(scale.measure(empty, sizes, tmp_path, requests, steps))
    costs = found[1_000].requests
    assert {name: cost.error for name, cost in costs.items() if cost.error is not None} == {}
    assert {name: cost.pages for name, cost in costs.items() if cost.pages < 1} == {}
    assert ET.parse(tmp_path / "scale.svg").getroot().tag.endswith("svg")
    written = (tmp_path / "SCALE.md").read_text()
    assert [written.count(f"\n| `{request.name}` |") for request in requests] == [1] * len(requests)
    assert [written.count(f"\n| {step} |") for step in steps] == [1] * len(steps)


def test_a_request_that_costs_more_at_any_size_is_found_to_grow() -> None:
    pages = {"flat": (4, 500, 600), "grows": (100, 100, 1_000), "grows for a while": (100, 1_000, 100)}
    found = {
        size: scale.Measured({name: Cost(costs[at], 1) for name, costs in pages.items()}, {}, 0)
        for at, size in enumerate((1, 10, 100))
    }
    assert [name for name in pages if scale.grows(found, name)] == ["grows", "grows for a while"]
