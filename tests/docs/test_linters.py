"""benchmarks/LINTERS.md, which `make bench-linters` writes, and its table in alembic_online/README.md."""

from benchmarks.linters import LINTERS, RESULTS, versions
from tests.conftest import ROOT

TABLE = [line for line in RESULTS.read_text().partition("\n## ")[0].splitlines() if line.startswith("|")]


def test_the_versions_that_were_measured_are_those_that_are_locked() -> None:
    locked = versions()
    assert TABLE[0].strip("| ").split(" | ") == [f"{linter.name} {locked[linter.name]}" for linter in LINTERS]


def test_the_readme_of_the_tool_has_the_table_as_it_was_measured() -> None:
    readme = (ROOT / "alembic_online" / "README.md").read_text()
    assert "\n".join(TABLE) in readme
