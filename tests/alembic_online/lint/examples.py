"""The examples: revisions to learn from, each in a file that says which findings it has, and where.

`# expect: <rule>` is in the line of a finding, or above it. `# fails: <text>` is the error of Postgres, or its driver,
if it refuses the revision; all others run. `# needs: <SQL>` has to run first. `# since: <number>` is the first
version of Postgres on which it does what it says.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import Script, ScriptDirectory

import alembic_online.operations  # noqa: F401 - registers them, for the examples to use
from alembic_online.lint import Finding, lint_revisions
from alembic_online.project import Project
from tests.alembic_online.zoo import ZOO
from tests.conftest import ROOT

HERE = Path(__file__).parent
EXPECTED = re.compile(r"^(?P<before>.*)# expect: (?P<rules>[\w, -]+)$")
NOTE = re.compile(r"^# (?P<name>fails|needs|since): (?P<text>.*)$", re.MULTILINE)


@cache
def project(folder: Path) -> Project:
    """The revisions in a folder, with this stack's models."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrator"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(folder))
    return replace(ZOO, config=config, scripts=ScriptDirectory.from_config(config))


def examples(kind: str) -> list[Path]:
    """The files of a kind, safe or unsafe."""
    return sorted((HERE / kind).glob("*.py"))


def name_of(file: Path) -> str:
    """The name of an example in test ids."""
    return f"{file.parent.name}-{file.stem}"


def script_of(file: Path) -> Script:
    """The revision in a file."""
    return _scripts(file.parent)[file]


@cache
def _scripts(folder: Path) -> dict[Path, Script]:
    return {Path(found.path): found for found in project(folder).scripts.walk_revisions()}


def commits(file: Path) -> bool:
    """Whether the revision is more than one transaction."""
    text = file.read_text()
    return any(part in text for part in ("_online(", "op.backfill(", "autocommit_block", '"COMMIT"'))


@cache
def findings(kind: str) -> dict[Path, list[Finding]]:
    """The findings in each file of a kind: for all files at once, because that takes one run of squawk."""
    revisions = {found.revision: Path(found.path) for found in project(HERE / kind).scripts.walk_revisions()}
    found: dict[Path, list[Finding]] = {path: [] for path in revisions.values()}
    for finding in lint_revisions(project(HERE / kind), list(revisions)):
        found[revisions[finding.revision]].append(finding)
    return found


def expected(file: Path) -> set[tuple[int, str]]:
    """The lines and rules of the findings that the file expects."""
    return set(_expected(file))


def _expected(file: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if found := EXPECTED.match(line):
            is_above = not found["before"].strip()
            for rule in found["rules"].split(", "):
                yield number + is_above, rule


def notes(file: Path) -> dict[str, str]:
    """What the file says about how it runs."""
    return {found["name"]: found["text"] for found in NOTE.finditer(file.read_text())}
