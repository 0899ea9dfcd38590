"""Waivers: where they are valid, what can be wrong with them, and that an applied revision's checksum ignores them."""

from pathlib import Path

import pytest

from alembic_online.lint import lint_revision
from alembic_online.waivers import find_waivers, without_waivers
from tests.alembic_online.lint.examples import project
from tests.conftest import ROOT
from tests.each import each

WAIVER = "# lint: allow lock-table: it is midnight"
REVISION = '''"""A revision."""

from alembic import op

revision = "one"
down_revision = None


def upgrade() -> None:
{body}
'''


def lint(folder: Path, *body: str) -> list[tuple[int, str]]:
    """The line in the body, and the rule, of each finding."""
    (folder / "one.py").write_text(REVISION.format(body="\n".join(f"    {line}" for line in body)))
    before = REVISION[: REVISION.index("{body}")].count("\n")
    return [(finding.line - before, finding.rule) for finding in lint_revision(project(folder), "one")]


LOCK = 'op.execute("LOCK TABLE animals")'


@pytest.mark.parametrize(
    "body",
    [
        [WAIVER, LOCK],
        [f"{LOCK}  {WAIVER}"],
        ["op.execute(", f'    "LOCK TABLE animals"  {WAIVER}', ")"],
        ["op.execute(", f"    {WAIVER}", '    "LOCK TABLE animals"', ")"],
        ["# It locks.", WAIVER, "# Nobody minds.", LOCK],
        ["for table in ['animals', 'staff']:", f"    {WAIVER}", '    op.execute(f"LOCK TABLE {table}")'],
    ],
    ids=["above", "beside", "beside a part", "within", "among comments", "in a loop"],
)
def test_a_waiver_holds_for_the_statement_that_it_stands_in_or_above(tmp_path: Path, body: list[str]) -> None:
    assert lint(tmp_path, *body) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ([WAIVER, "", LOCK], [(1, "waiver"), (3, "lock-table")]),
        ([LOCK, WAIVER], [(1, "lock-table"), (2, "waiver")]),
        ([WAIVER, LOCK, LOCK], [(3, "lock-table")]),
        (["# lint: allow truncate: it is midnight", LOCK], [(1, "waiver"), (2, "lock-table")]),
        (["# lint: allow lock-table:", LOCK], [(1, "waiver"), (2, "lock-table")]),
        (["# lint: ignore lock-table: it is midnight", LOCK], [(1, "waiver"), (2, "lock-table")]),
        ([f'op.execute("LOCK TABLE animals -- {WAIVER}")'], [(1, "lock-table")]),
    ],
    ids=["apart", "below", "of another statement", "of another rule", "without reason", "misspelt", "in a string"],
)
def test_any_other_waives_nothing(tmp_path: Path, body: list[str], found: list[tuple[int, str]]) -> None:
    assert lint(tmp_path, *body) == found


def test_squawks_own_waivers_do_not_hold(tmp_path: Path) -> None:
    drop = 'op.execute("DROP INDEX ix_animals_id -- squawk-ignore require-concurrent-index-deletion")'
    assert lint(tmp_path, 'op.execute("-- squawk-ignore-file\\nSELECT 1")', drop) == [
        (2, "require-concurrent-index-deletion")
    ]


def test_a_file_without_waivers_is_what_it_was() -> None:
    for file in (ROOT / "migrator" / "versions").glob("*.py"):
        source = b"".join(line for line in file.read_bytes().splitlines(keepends=True) if b"# lint:" not in line)
        assert without_waivers(source) == source, file
        assert without_waivers(file.read_bytes()) == source, file


@each(
    "waived, without",
    [
        (f"one()\n    {WAIVER}\ntwo()\n", "one()\ntwo()\n"),
        (f"one()  {WAIVER}\ntwo()\n", "one()\ntwo()\n"),
        (f"one()  {WAIVER}", "one()"),
        (f"one(\n    2,  {WAIVER}\n    {WAIVER}\n)\n", "one(\n    2,\n)\n"),
        (f"# about ü\n{WAIVER}\n", "# about ü\n"),
        (f'one("""\n{WAIVER}\n""")\n', f'one("""\n{WAIVER}\n""")\n'),
        (f"one()  # not {WAIVER}\n", f"one()  # not {WAIVER}\n"),
    ],
)
def test_without_its_waivers_a_file_is_as_if_they_had_never_been_written(waived: str, without: str) -> None:
    assert without_waivers(waived.encode()).decode() == without


def test_a_waiver_has_its_rule_and_its_reason() -> None:
    (found,) = find_waivers(f"one()\n{WAIVER}\n".encode())
    assert (found.line, found.rule, found.reason) == (2, "lock-table", "it is midnight")
