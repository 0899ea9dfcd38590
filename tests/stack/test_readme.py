"""README.md: its migration commands do what it says. No containers are needed for it, but time."""

from pathlib import Path

from tests.conftest import ROOT
from tests.docs.documents import copy_checkout, run_document


def test_the_migration_commands_run_as_they_stand(tmp_path: Path) -> None:
    run_document(ROOT / "README.md", copy_checkout(tmp_path))
