"""docs/faults.md names tests that exist."""

import re

from tests.conftest import ROOT


def test_every_row_names_a_test() -> None:
    rows = re.findall(r"^\| (?!what is done).*\| (.+) \|$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)
    code = "".join(
        path.read_text() for folder in ("faults", "stack") for path in (ROOT / "tests" / folder).glob("*.py")
    )
    assert rows
    for row in rows:
        name = re.fullmatch(r"`(test_\w+?)(?:_\.\.\.)?`|the same", row)
        assert name, row
        assert f"def {name[1] or ''}" in code, row
