"""docs/internals.md names every library internal that is used, the code that uses it, and the test that would fail."""

import re

from tests.conftest import ROOT

TESTS = [*(ROOT / "tests").glob("*/**/test_internals.py")]
ROWS = [
    [re.findall(r"`([^`]+)`", cell) for cell in row.split(" | ")]
    for row in re.findall(r"^\| (`.+) \|$", (ROOT / "docs" / "internals.md").read_text(), re.MULTILINE)
]


def test_every_row_names_code_that_uses_the_internal() -> None:
    assert ROWS
    for what, where, *_ in ROWS:
        assert where, what
        code = "".join((ROOT / path).read_text() for path in where)
        assert [name for name in what if name.rpartition(".")[2] not in code] == [], where


def test_every_row_names_a_test_that_exists_and_every_test_has_a_row() -> None:
    there = {name for path in TESTS for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = {name for row in ROWS for name in row[-1]}
    assert all(row[-1] for row in ROWS)
    assert named == there


def test_every_exception_for_a_private_name_has_a_row() -> None:
    private = {
        path.relative_to(ROOT).as_posix()
        for package in ("alembic_online", "api", "local", "migrator", "stack_settings")
        for path in (ROOT / package).rglob("*.py")
        if "SLF001" in path.read_text()
    }
    assert private
    assert private <= {path for _, where, *_ in ROWS for path in where}
