"""All rules, on one revision."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from alembic.script import Script

from alembic_online.errors import ConfigurationError
from alembic_online.lint.drops import Column, columns_given_a_default, find_drops
from alembic_online.lint.finding import Problem
from alembic_online.lint.guarantees import find_lost_guarantees
from alembic_online.lint.locks import find_locks
from alembic_online.lint.reading import ParsedStatement, read_revision
from alembic_online.lint.rows import find_rows
from alembic_online.lint.shape import find_shape
from alembic_online.lint.source import find_imports, find_offline, line_of
from alembic_online.lint.squawk import is_for_contract, says_more
from alembic_online.lint.transactions import find_in_blocks, find_transactions
from alembic_online.project import Project
from alembic_online.revision_sql import NotSql
from alembic_online.runs.contract import is_contract

# Findings that say that a statement takes long; they include that a lock is held meanwhile.
SAY_LONG = {
    "blocking-build",
    "blocking-rewrite",
    "blocking-scan",
    "lock-table",
    "opaque",
    "truncate",
    "unbatched-change",
}


@dataclass(frozen=True)
class RevisionFile:
    """A revision of the project. `not_sql` is why its statements are not known, if they are not."""

    project: Project
    script: Script
    source: bytes
    tree: ast.Module
    statements: list[ParsedStatement]
    not_sql: NotSql | None


def read(project: Project, revision: str) -> RevisionFile:
    """The revision, its file and its statements."""
    script = project.scripts.get_revision(revision)
    assert script is not None
    source = Path(script.path).read_bytes()
    try:
        statements, not_sql = read_revision(project, revision), None
    except NotSql as error:
        statements, not_sql = [], error
    return RevisionFile(project, script, source, ast.parse(source), statements, not_sql)


def find_problems(file: RevisionFile, opinion: Sequence[tuple[ParsedStatement, Problem]]) -> list[Problem]:
    """What is wrong with the revision, from top to bottom: each rule once per line. `opinion` is squawk's."""
    by_line: dict[int, dict[str, Problem]] = defaultdict(dict)
    for problem in _ours(file):
        by_line[problem.line].setdefault(problem.rule, problem)
    for parsed, problem in opinion:
        is_meant = is_for_contract(problem) and _is_contract(file)
        if not (is_meant or says_more(set(by_line[parsed.line]), problem)):
            by_line[parsed.line].setdefault(problem.rule, problem)
    for problems in by_line.values():
        if problems.keys() & SAY_LONG:
            problems.pop("held-lock", None)
    return [problem for _, problems in sorted(by_line.items()) for problem in problems.values()]


def _is_contract(file: RevisionFile) -> bool:
    try:
        return is_contract(file.script)
    except ConfigurationError:  # reported by another rule
        return False


def _ours(file: RevisionFile) -> Iterator[Problem]:
    yield from find_imports(file.tree, file.project.root)
    yield from find_offline(file.tree)
    is_contracting = _is_contract(file)
    try:
        is_contract(file.script)
    except ConfigurationError as error:
        line = line_of(file.tree, "phase", "safe_from_release")
        what, _, advice = str(error).partition(": ")[2].partition("; ")
        yield Problem("phase", line, what, advice[:1].upper() + advice[1:])
    if file.not_sql is not None:
        yield _not_sql(file.not_sql)
    given = columns_given_a_default(file.statements)
    for parsed in file.statements:
        yield from _statement(parsed, given, is_contracting=is_contracting)
    if not is_contracting:
        yield from find_lost_guarantees(file.project, file.script.revision, file.statements)
    yield from find_in_blocks(file.statements)


def _not_sql(error: NotSql) -> Problem:
    if error.is_in_quotes:
        return Problem(
            "quoted-parameter",
            error.line,
            f"fails: {error.reason}",
            "Leave out bindparams(...), if it is meant as it is written; or write the parameter without quotes",
        )
    return Problem(
        "not-sql",
        error.line,
        f"is not known before it runs ({error}), so it can't be linted, planned or written by --sql",
        "Write SQL that does not query first; what depends on rows belongs into op.backfill(...)",
    )


def _statement(parsed: ParsedStatement, given: AbstractSet[Column], *, is_contracting: bool) -> Iterator[Problem]:
    if parsed.is_online:
        # Their locks are correct by construction; but they may take something away from the release at work.
        if not is_contracting and parsed.statement.operation == "unsync_columns_online":
            yield from find_drops(parsed, given)
        return
    if parsed.error is not None:
        yield Problem("syntax-error", parsed.line, f"Postgres can't read it ({parsed.error})", "Correct it")
    yield from find_locks(parsed)
    yield from find_rows(parsed)
    yield from find_shape(parsed, given, is_contract=is_contracting)
    yield from find_transactions(parsed)
