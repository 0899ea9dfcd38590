"""docs/add-a-table.md does what it says."""

from pathlib import Path

from tests.conftest import ROOT
from tests.docs.documents import copy_checkout, run_document


def test_the_walk_through_runs_as_it_stands(tmp_path: Path) -> None:
    run_document(ROOT / "docs" / "add-a-table.md", copy_checkout(tmp_path))
