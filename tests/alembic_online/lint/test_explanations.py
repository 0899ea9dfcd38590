"""Each rule has an explanation, and the code in it is safe."""

import ast
import re
from pathlib import Path

import postgast
import pytest

from alembic_online.lint import RULES
from alembic_online.lint.explanations import explain, explanations
from alembic_online.lint.squawk_rules import KEPT
from tests.alembic_online.lint.bodies import lint_bodies

ANOTHER = re.compile(r"^# .*revision:\n", re.MULTILINE)


def test_each_rule_has_one() -> None:
    assert explanations().keys() == RULES.keys() | KEPT.keys()


def test_nothing_is_wrong_with_the_safe_way_of_any(tmp_path: Path) -> None:
    rules, revisions = [], []
    for rule, explanation in explanations().items():
        if explanation.safe_way.startswith("--"):
            assert postgast.parse(explanation.safe_way).stmts, rule
            continue
        for revision in ANOTHER.split(explanation.safe_way):
            ast.parse(revision, rule)
            header, upgrade, body = revision.rpartition("def upgrade() -> None:\n")
            rules.append(rule)
            revisions.append((header, body if upgrade else revision))
    found = zip(rules, lint_bodies(tmp_path, revisions), strict=True)
    assert [(rule, str(each)) for rule, findings in found for each in findings] == []


def test_each_fits_a_terminal() -> None:
    for rule in explanations():
        text = explain(rule)
        assert text.startswith(f"{rule}\n"), rule
        assert "In Postgres: " in text, rule
        assert max(map(len, text.splitlines())) <= 120, rule


def test_one_that_there_is_not_is_named_with_those_nearest_to_it() -> None:
    with pytest.raises(ValueError, match="there is no rule 'blocking-built'; the nearest are blocking-build, "):
        explain("blocking-built")
