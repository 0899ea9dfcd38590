"""The commands of the documents do what the documents say."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.documents import copy_checkout, run_document


@pytest.mark.parametrize("document", ["README.md", "docs/add-a-table.md", "docs/rename-a-column.md"])
def test_the_commands_run_as_they_stand(document: str, tmp_path: Path) -> None:
    run_document(ROOT / document, copy_checkout(tmp_path))
