"""The commands of the documents do what the documents say."""

from pathlib import Path

import pytest

from tests.checkouts import copy_checkout
from tests.conftest import ROOT
from tests.docs.documents import run_document

DOCUMENTS = [
    "README.md",
    "docs/migrations.md",
    "docs/add-a-table.md",
    "docs/add-a-resource.md",
    "docs/rename-a-column.md",
    "docs/remove-a-part.md",
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_run_as_they_stand(document: str, tmp_path: Path) -> None:
    run_document(ROOT / document, copy_checkout(tmp_path))


def test_no_other_document_has_commands_to_run() -> None:
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert {path.relative_to(ROOT).as_posix() for path in paths if "\n```sh\n" in path.read_text()} == set(DOCUMENTS)
