"""docs/lint-rules.md names all rules: ours, and squawk's, with why those that are not used are not."""

import re

from alembic_online.lint.rules import RULES
from alembic_online.lint.squawk_rules import EXCLUDED, KEPT
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "lint-rules.md").read_text()
TABLE, _, REST = PAGE.partition("## Rules of squawk that are not used")


def test_each_of_ours_is_in_the_table() -> None:
    ours = [line.split("|")[2] for line in TABLE.splitlines() if line.startswith("| ")]
    assert RULES.keys() <= set(re.findall(r"`([a-z-]+)`", "".join(ours)))


def test_squawks_are_told_apart() -> None:
    not_used, _, used = REST.partition("\nUsed: ")
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", not_used, re.MULTILINE)) == EXCLUDED
    assert re.findall(r"`([a-z-]+)`", used) == list(KEPT)
