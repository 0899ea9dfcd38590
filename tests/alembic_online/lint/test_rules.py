"""The rules, ours and squawk's: each is either used or not, and squawk knows those that are used."""

import subprocess
import sysconfig
from pathlib import Path

from alembic_online.lint import RULES
from alembic_online.lint.squawk_rules import EXCLUDED, INCLUDED, KEPT
from tests.alembic_online.lint.examples import examples, expected


def test_each_is_decided_about_once() -> None:
    assert RULES.keys() & KEPT.keys() == {"syntax-error"}
    assert not KEPT.keys() & EXCLUDED.keys()
    assert set(INCLUDED) <= KEPT.keys()
    assert {rule for kept in KEPT.values() for rule in kept.ours} <= RULES.keys()


def test_squawk_has_those_that_are_kept(tmp_path: Path) -> None:
    (tmp_path / "empty.sql").write_text("SELECT 1;\n")
    squawk = Path(sysconfig.get_path("scripts")) / "squawk"
    kept = ",".join(KEPT.keys() - {"syntax-error"})
    subprocess.run([squawk, "--exclude", f"{kept},require-timeout-settings", "empty.sql"], cwd=tmp_path, check=True)


def test_there_is_an_example_of_each_of_ours() -> None:
    in_one_file = RULES.keys() - {"heads"}  # which test_heads.py has
    assert {rule for file in examples("unsafe") for _, rule in expected(file)} >= in_one_file
