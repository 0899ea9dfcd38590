"""docs/architecture.md names all dependencies and packages."""

import re
import tomllib

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_dependency_is_named() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    direct = {re.split(r"[\[<>=;]", entry)[0] for group in groups.values() for entry in group if isinstance(entry, str)}
    assert {name for name in direct if name not in PAGE.lower()} == set()


@pytest.mark.parametrize("package", ["alembic_online", "api"])
def test_every_package_is_named(package: str) -> None:
    rooms = [path.parent.name for path in (ROOT / package).glob("*/__init__.py")]
    assert rooms
    assert [room for room in rooms if f"`{package}/{room}/`" not in PAGE] == []
