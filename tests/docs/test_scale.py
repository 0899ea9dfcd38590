"""What grows is in docs/scale.md, with the figures that `make bench-scale` has written into benchmarks/SCALE.md."""

import re
from pathlib import Path

from tests.conftest import ROOT


def rows(path: Path) -> dict[str, list[str]]:
    """Of tables of requests: by request, the other cells."""
    found = re.findall(r"^\| `([A-Z]+ /[^`]*)` \|(.*)\|$", path.read_text(), re.MULTILINE)
    return {request: [cell.strip() for cell in cells.split("|")] for request, cells in found}


MEASURED, NAMED = rows(ROOT / "benchmarks" / "SCALE.md"), rows(ROOT / "docs" / "scale.md")


def test_each_request_that_grows_is_named() -> None:
    assert {request for request, (*_, mark) in MEASURED.items() if mark} <= NAMED.keys()


def test_the_figures_are_those_that_were_measured() -> None:
    measured = {request: [cost.split()[0] for cost in costs] for request, (*costs, _) in MEASURED.items()}
    named = {request: figures for request, (*figures, _) in NAMED.items()}
    assert named == {request: measured.get(request) for request in named}
