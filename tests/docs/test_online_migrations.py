"""docs/online-migrations.md names all rules and operations."""

import re

from alembic_online.lint.rules import RULES
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "online-migrations.md").read_text()


def test_every_rule_is_named_with_its_text() -> None:
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", PAGE, re.MULTILINE)) == RULES


def test_every_operation_is_named() -> None:
    code = "".join(path.read_text() for path in (ROOT / "alembic_online" / "operations").glob("*.py"))
    made = re.findall(r'register_operation\("(\w+)"\)', code)
    assert made
    assert {name for name in made if f"op.{name}(" not in PAGE} == set()
