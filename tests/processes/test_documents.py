"""The commands of the documents do what the documents say."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.checkouts import quick_checkout
from tests.conftest import ROOT
from tests.docs.documents import run_blocks, run_documents, section
from tests.rounds import ROUNDS, rounds

# Those that leave the schema for the next can share a checkout: both of the first show all revisions being applied.
TOGETHER = (
    ("README.md", "docs/add-a-table.md", "docs/add-a-resource.md"),
    ("docs/migrations.md", "docs/rename-a-column.md"),
)
DOCUMENTS = [document for documents in TOGETHER for document in documents]
REMOVING = ROOT / "docs" / "remove-a-part.md"
PARTS = [
    part
    for part in re.findall(r"^## (.+)$", REMOVING.read_text(), re.MULTILINE)
    if not part.startswith(("After", "The"))
]


def with_those_before(part: str) -> list[str]:
    """The part, after those that it says it follows."""
    said = re.match(r"\s*After ([^,]*),", section(REMOVING, f"## {part}"))
    return [*(name for name in PARTS if said and name in said[1].split()), part]


@pytest.mark.parametrize(
    "documents", rounds(quick=TOGETHER, full=[(document,) for document in DOCUMENTS]), ids=" ".join
)
def test_the_commands_run_as_they_stand(documents: Sequence[str], tmp_path: Path) -> None:
    run_documents([ROOT / document for document in documents], quick_checkout(tmp_path))


# Checking what is left takes most of the time: one after the other they go, too.
@pytest.mark.parametrize("parts", rounds(quick=[PARTS], full=[*map(with_those_before, PARTS), PARTS]), ids=" ".join)
def test_parts_go_by_their_commands_alone_and_the_rest_is_whole(parts: list[str], tmp_path: Path) -> None:
    checkout = quick_checkout(tmp_path)
    if (ROOT / ".mypy_cache").exists():  # it takes a minute otherwise
        shutil.copytree(ROOT / ".mypy_cache", checkout / ".mypy_cache")
    with ExitStack() as background:
        for heading in (*parts, "Afterwards"):
            run_blocks(section(REMOVING, f"## {heading}"), checkout, background)
    if ROUNDS == "full":
        rest = ["tests/api", "tests/deploy", "tests/stack_settings", "tests/test_internals.py"]
        subprocess.run([checkout / ".venv/bin/python", "-m", "pytest", "-q", "-n2", *rest], cwd=checkout, check=True)


def test_no_other_document_has_commands_to_run() -> None:
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert {path.relative_to(ROOT).as_posix() for path in paths if "\n```sh\n" in path.read_text()} == {
        *DOCUMENTS,
        REMOVING.relative_to(ROOT).as_posix(),
    }
