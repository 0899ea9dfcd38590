"""README.md is short, and leads on; tests/stack runs its commands."""

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
LONGEST = 200


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(README.splitlines()) <= LONGEST


def test_it_leads_to_every_document() -> None:
    documents = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")]
    assert documents
    assert [name for name in documents if f"]({name})" not in README] == []
