"""`make bench`, at the smallest scale: that it measures, not what."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks import comparison, imports, migrator_noop, statements
from benchmarks.__main__ import SUBJECTS, measure
from benchmarks.comparison import REQUESTS
from benchmarks.stack import APPS, Scale
from tests.rounds import rounds

LITTLE = Scale(rounds=1, seconds=1, requests=100, deep_rows=1_000, import_rows=1_000)
MEASURED = rounds(quick=[statements, migrator_noop, imports], full=SUBJECTS)  # those with wrk take ten times as long


def test_every_subject_is_measured_and_written(tmp_path: Path) -> None:
    measure(LITTLE, tmp_path, MEASURED)
    results = (tmp_path / "RESULTS.md").read_text()
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", results, re.MULTILINE))
    assert len(sections) == len(MEASURED)
    assert all("\n| --- |" in text or "\n| ---: |" in text for text in sections.values())

    if comparison in MEASURED:
        beside = sections["Beside the usual and the floor"]
        compared = [line.split(" | ")[1] for line in beside.splitlines() if "µs" in line]
        assert compared == list(APPS) * len(REQUESTS)

    looked_up = [line for line in sections["What a request sends to Postgres"].splitlines() if "| ours |" in line]
    assert [line.count("access_tokens") for line in looked_up] == [0, 0, 1, 1, 1]

    for chart in re.findall(r"!\[.*]\((.+)\)", results):
        assert ET.parse(tmp_path / chart).getroot().tag.endswith("svg")
