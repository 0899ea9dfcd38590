"""README.md and the documents name only existing files, headings and targets of the Makefile."""

import re
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "alembic_online" / "README.md",
    ROOT / "benchmarks" / "LINTERS.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
ROOMS = "alembic_online|api|benchmarks|deploy|docs|local|migrator|seed|tests"
PATH = re.compile(rf"(?<![\w/.-])(?:{ROOMS})/[\w./-]*\w")


@cache
def prose(document: Path) -> str:
    """The text without its blocks of code, which may name files that the reader creates."""
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(document: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\((?!http)([^)]+)\)", prose(document)):
            name, _, anchor = link.partition("#")
            target = document.parent / name if name else document
            assert target.exists(), (document, link)
            assert not anchor or anchor in anchors(target), (document, link)


def test_every_file_that_is_named_exists() -> None:
    for document in DOCUMENTS:
        text = re.sub(r"\]\([^)]*\)", "]", prose(document))
        assert [path for path in PATH.findall(text) if not (ROOT / path).exists()] == [], document


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"(?:^|\$ |`)make ([a-z-]+)", document.read_text(), re.MULTILINE)
        assert set(named) <= targets, document
