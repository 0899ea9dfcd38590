"""README.md and docs/tests.md name what the project is made of; tests/stack runs the README's commands."""

import re
import tomllib

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_every_dependency_is_named() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    direct = {re.split(r"[\[<>=;]", entry)[0] for group in groups.values() for entry in group if isinstance(entry, str)}
    assert {name for name in direct if name not in README.lower()} == set()


def test_every_linked_file_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = README + (ROOT / "docs" / "tests.md").read_text()
    assert set(re.findall(r"(?:^|\$ |`)make ([a-z-]+)", documents, re.MULTILINE)) <= targets
