"""Each rule has an explanation, and the code in it is safe."""

import ast
import re
from pathlib import Path

import postgast
import pytest

from alembic_online.lint import RULES
from alembic_online.lint.explanations import explain, explanations
from alembic_online.lint.squawk_rules import KEPT
from tests.alembic_online.lint.bodies import lint_body

ANOTHER = re.compile(r"^# .*revision:\n", re.MULTILINE)


def test_each_rule_has_one() -> None:
    assert explanations().keys() == RULES.keys() | KEPT.keys()


@pytest.mark.parametrize("rule", explanations())
def test_nothing_is_wrong_with_the_safe_way(tmp_path: Path, rule: str) -> None:
    code = explanations()[rule].safe_way
    if code.startswith("--"):
        assert postgast.parse(code).stmts
        return
    for revision in ANOTHER.split(code):
        header, upgrade, body = revision.rpartition("def upgrade() -> None:\n")
        ast.parse(revision)
        found = lint_body(tmp_path, body if upgrade else revision, header)
        assert [str(each) for each in found] == []


@pytest.mark.parametrize("rule", explanations())
def test_it_fits_a_terminal(rule: str) -> None:
    text = explain(rule)
    assert text.startswith(f"{rule}\n")
    assert "In Postgres: " in text
    assert max(map(len, text.splitlines())) <= 120


def test_one_that_there_is_not_is_named_with_those_nearest_to_it() -> None:
    with pytest.raises(ValueError, match="there is no rule 'blocking-built'; the nearest are blocking-build, "):
        explain("blocking-built")
