"""README.md is short, like the tool's, and links to all documents; tests/stack runs its commands."""

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
LONGEST = 200


@pytest.mark.parametrize("folder", [".", "alembic_online"])
def test_it_is_read_in_a_few_minutes(folder: str) -> None:
    assert len((ROOT / folder / "README.md").read_text().splitlines()) <= LONGEST


def test_it_leads_to_every_document() -> None:
    documents = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")]
    assert documents
    assert [name for name in documents if f"]({name})" not in README] == []
