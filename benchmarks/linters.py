"""The lint beside other linters, on the examples of tests/: `python -m benchmarks.linters`, or `make bench-linters`.

Writes LINTERS.md. The others go into an environment of their own, requirements/linters.txt, which is gone afterwards.
Each has the settings that it comes with, told that the database is Postgres 18 where it can be told.
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import table
from benchmarks.stack import ROOT

EXAMPLES = ROOT / "tests" / "alembic_online" / "lint"
LOCKED = ROOT / "requirements" / "linters.txt"
RESULTS = Path(__file__).parent / "LINTERS.md"
ROUNDS = 3

OWN = re.compile(r"_online\(|op\.backfill\(|^phase = |# lint: allow", re.MULTILINE)
"""What only alembic-online knows: its operations, phases and waivers."""

NEITHER = {"get_bind", "get_context"}
"""Of Alembic's `op`, what makes no SQL."""

CONFIGURATION = """\
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = .
path_separator = os
sqlalchemy.url = postgresql://
"""
ENV_OF_ALEMBIC = """\
from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""
ENV_OF_ALEMBIC_ONLINE = """\
from alembic_online import run

from api.models import Base

run(target_metadata=Base.metadata, application="api", release="1.0.0")
"""
TIMEOUTS = "SET lock_timeout = '1s';\nSET statement_timeout = '1min';\n"
"""As an env.py sets them; squawk reports each file without."""


@dataclass(frozen=True)
class Example:
    """A revision that anybody's linter can be asked about."""

    name: str
    path: Path
    text: str

    @property
    def unsafe(self) -> bool:
        return self.path.parent.name == "unsafe"

    @property
    def as_sql(self) -> bool:
        """Whether all that it does is written as SQL, rather than as Alembic's operations."""
        return set(re.findall(r"\bop\.(\w+)\(", self.text)) - NEITHER == {"execute"}


@dataclass(frozen=True)
class Linter:
    """`run` is given the folder of its programs, and that of a project; and tells what revisions it reports."""

    name: str
    run: Callable[[Path, Path], set[str]]
    env: str = ENV_OF_ALEMBIC


@dataclass(frozen=True)
class Found:
    """What a linter reports, by the names of examples; what it can't read; and how long it takes, in seconds."""

    reported: set[str]
    unread: set[str]
    seconds: float


class UnreadError(Exception):
    """The run ended in a traceback through this revision."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def find_examples() -> list[Example]:
    """Those that consist of nothing but what Alembic and Postgres have."""
    found = []
    for path in sorted(EXAMPLES.glob("*safe/*.py")):
        text = path.read_text()
        name = re.search(r'^revision = "(\w+)"$', text, re.MULTILINE)
        assert name, path
        code = text.split('"""', 2)[2]
        if not OWN.search(code):
            found.append(Example(name[1], path, text))
    return found


def write_project(folder: Path, examples: Sequence[Example], env: str) -> None:
    """One after the other as the history of a project of the usual kind, with the models that some import."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(CONFIGURATION)
    (folder / "migrations" / "env.py").write_text(env)
    (folder / "migrations" / "script.py.mako").touch()
    shutil.copytree(ROOT / "api", folder / "api", ignore=shutil.ignore_patterns("__pycache__"))
    before = None
    for example in examples:
        text = example.text.replace("down_revision = None", f"down_revision = {before!r}", 1)
        (versions / f"{example.name}.py").write_text(text)
        before = example.name


def _call(command: Sequence[str | Path], project: Path) -> str:
    """What a command prints that ends with 0, or with 1 as linters do that report something."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(project), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if "Traceback" in done.stderr and (frames := re.findall(r"/versions/(\w+)\.py", done.stderr)):
        raise UnreadError(frames[-1])
    if done.returncode not in {0, 1} or "Traceback" in done.stderr:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def _alembic_online(_programs: Path, project: Path) -> set[str]:
    command = [sys.executable, "-m", "alembic_online", "lint", "--format", "json"]
    # Of the folder that this is run from, where it is not installed as a package.
    return _paths_in(json.loads(_call(["env", f"PYTHONPATH={ROOT}", *command], project) or "[]"), "path")


def _squawk(programs: Path, project: Path) -> set[str]:
    """By way of SQL: what Alembic prints of each revision."""
    printed = _call([programs / "alembic", "upgrade", "base:head", "--sql"], project)
    for text in re.split(r"^(?=BEGIN;\n\n-- Running upgrade)", printed, flags=re.MULTILINE)[1:]:
        name = re.search(r"-- Running upgrade .*-> (\w+)", text)
        assert name, text
        (project / f"{name[1]}.sql").write_text(TIMEOUTS + text)
    files = sorted(path.name for path in project.glob("*.sql"))
    found = _call([programs / "squawk", "--pg-version", "18", "--reporter", "json", *files], project)
    return _paths_in(json.loads(found), "file")


def _alembic_guard(programs: Path, project: Path) -> set[str]:
    return _paths_in(json.loads(_call([programs / "alembic-guard", "--format", "json"], project)), "path")


def _lockcheck(programs: Path, project: Path) -> set[str]:
    found = _call([programs / "lockcheck", "migrations/versions"], project)
    return set(re.findall(r"^migrations/versions/(\w+)\.py$", found, re.MULTILINE))


def _alembic_migration_linter(programs: Path, project: Path) -> set[str]:
    found = _call([programs / "alembic-lint", "--dialect", "postgresql", "--no-cache"], project)
    return set(re.findall(r"^\((\w+)\)\.\.\. (?:ERR|WARNING)$", found, re.MULTILINE))


def _paths_in(findings: Sequence[Mapping[str, str]], key: str) -> set[str]:
    return {Path(finding[key]).stem for finding in findings}


ALEMBIC_ONLINE = Linter("alembic-online", _alembic_online, ENV_OF_ALEMBIC_ONLINE)
SQUAWK = Linter("squawk", _squawk)
LINTERS = [
    ALEMBIC_ONLINE,
    SQUAWK,
    Linter("alembic-guard", _alembic_guard),
    Linter("lockcheck", _lockcheck),
    Linter("alembic-migration-linter", _alembic_migration_linter),
]


def measure(linter: Linter, programs: Path, examples: Sequence[Example], rounds: int = ROUNDS) -> Found:
    """Run it over all examples at once; without those that it can't read, where these end its run."""
    unread: set[str] = set()
    seconds: list[float] = []
    reported: set[str] = set()
    while len(seconds) < rounds:
        with TemporaryDirectory() as folder:
            write_project(Path(folder), [each for each in examples if each.name not in unread], linter.env)
            began = time.perf_counter()
            try:
                reported = linter.run(programs, Path(folder))
            except UnreadError as error:
                unread.add(error.name)
            else:
                seconds.append(time.perf_counter() - began)
    return Found(reported, unread, statistics.median(seconds))


def install(folder: Path) -> Path:
    """What requirements/linters.txt locks, into an environment in this folder; the path of its programs."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, folder], check=True)
    locked: list[str | Path] = ["--require-hashes", "--compile-bytecode", "-r", LOCKED]
    subprocess.run([*uv, "pip", "install", "--python", folder / "bin" / "python", *locked], check=True)
    return folder / "bin"


def versions() -> dict[str, str]:
    """Of each linter, the version that is measured."""
    own = tomllib.loads((ROOT / "alembic_online" / "pyproject.toml").read_text())["project"]
    found = dict(re.findall(r"^([\w-]+)==(\S+)", LOCKED.read_text(), re.MULTILINE))
    return {own["name"]: own["version"], **found, "squawk": found["squawk-cli"]}


def summarize(found: Mapping[str, Found], examples: Sequence[Example]) -> str:
    """A table of how many of which examples are reported."""
    groups = {
        "unsafe revisions, in Alembic's operations": {
            each.name for each in examples if each.unsafe and not each.as_sql
        },
        "unsafe revisions, in SQL": {each.name for each in examples if each.unsafe and each.as_sql},
        "safe revisions": {each.name for each in examples if not each.unsafe},
    }
    rows = [
        [f"reports of {len(names)} {group}", *(str(len(each.reported & names)) for each in found.values())]
        for group, names in groups.items()
    ]
    each = found.values()
    rows.append(["can't read, and ends in a traceback", *(str(len(one.unread)) for one in each)])
    rows.append([f"takes for these {len(examples)}", *(f"{one.seconds:.1f} s" for one in each)])
    return table(["", *(f"{name} {versions()[name]}" for name in found)], rows)


def _in_full(found: Mapping[str, Found], examples: Sequence[Example]) -> str:
    rows = []
    for example in examples:
        link = f"[{example.path.parent.name} {example.path.stem}]({Path('..') / example.path.relative_to(ROOT)})"
        written = "SQL" if example.as_sql else "operations"
        rows.append([link, written, *(_mark(each, example) for each in found.values())])
    return table(["example", "in", *found], rows)


def _mark(found: Found, example: Example) -> str:
    return "can't read" if example.name in found.unread else "reports" if example.name in found.reported else ""


def write(path: Path, found: Mapping[str, Found], examples: Sequence[Example]) -> None:
    """Write all of it anew."""
    path.write_text(
        "# Linters, on the same revisions\n\n"
        "`make bench-linters` writes this file. The revisions are the examples that the tests of alembic-online's lint"
        " go by: **they are ours, written for our rules**, and that it reports the unsafe ones and no others is what"
        " those tests hold. What uses its own operations, phases or waivers is left out. It asks squawk, too, and has"
        " some of its rules from there.\n\n"
        "Each linter has the settings that it comes with; alembic-migration-linter and squawk are told that it is for"
        " Postgres, and squawk that it is for version 18. Whatever a linter says of a revision counts, be it an error"
        " or a warning, and in whatever line. squawk gets the SQL that `alembic upgrade --sql` prints of each"
        " revision, with a `SET lock_timeout` and a `SET statement_timeout` before it, as an env.py sets them: without"
        " these it reports each revision. What Alembic can't print it can't read, and its time is with Alembic's."
        " A revision at which a linter's run ends is left out of its next one. Times are medians of"
        f" {ROUNDS} runs over all revisions at once.\n\n"
        f"{summarize(found, examples)}\n\n## Each of them\n\n{_in_full(found, examples)}\n"
    )


def main() -> None:
    """Measure all of them."""
    examples = find_examples()
    with TemporaryDirectory() as folder:
        programs = install(Path(folder) / "environment")
        found = {linter.name: measure(linter, programs, examples) for linter in LINTERS}
    write(RESULTS, found, examples)
    print(summarize(found, examples))


if __name__ == "__main__":
    main()
