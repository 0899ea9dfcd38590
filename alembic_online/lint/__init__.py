"""What is wrong with a revision, reported before it runs: the lock or the rewrite, and the safe way.

Guarantee: `alembic upgrade` begins nothing while one of the pending revisions has a finding. What is intended all the
same is waived in its place, with a reason (waivers.py). Tables that the revision itself creates are exempt, because
nobody else uses them yet; online operations are exempt from the rules about locks.

reading       the statements, parsed, and what each does to tables that existed before
locks         locks that are held while something takes long
rows          rows that are changed all at once
shape         what the release at work would miss: drops, guarantees, renames, rights, sequences, new_columns
earlier       constraints that earlier revisions have made
models        what the models say of keys
heads         several newest revisions
transactions  what is committed together
source        the file as Python
squawk        a second opinion; squawk_rules has which of its rules are used
rules         the names of our own rules, and what each finds
safe_ways     what to write instead, as code with the finding's own names; columns_apart: for columns
calls         that code; online_calls, backfill_calls: calls of the online operations
revision      all rules, on one revision
explanations  the rules at length
waived        findings without those that are waived
finding       the form of a finding
"""

from collections.abc import Sequence

import structlog

from alembic_online.errors import ConfigurationError
from alembic_online.lint.finding import Finding
from alembic_online.lint.heads import find_heads
from alembic_online.lint.revision import find_problems, read
from alembic_online.lint.rules import RULES
from alembic_online.lint.squawk import ask_squawk
from alembic_online.lint.waived import without_waived
from alembic_online.project import Project
from alembic_online.waivers import FORM

__all__ = ["RULES", "Finding", "find_heads", "lint_revision", "lint_revisions", "require_safe"]

log = structlog.get_logger(__name__)


def lint_revision(project: Project, revision: str) -> list[Finding]:
    """What is wrong with a revision, from top to bottom."""
    return lint_revisions(project, [revision])


def lint_revisions(project: Project, revisions: Sequence[str]) -> list[Finding]:
    """What is wrong with these revisions, in their order."""
    files = [read(project, revision) for revision in revisions]
    opinions = ask_squawk([file.statements for file in files])
    return [
        Finding.of(file.script, problem)
        for file, opinion in zip(files, opinions, strict=True)
        for problem in without_waived(file, find_problems(file, opinion))
    ]


def require_safe(project: Project, revisions: Sequence[str]) -> None:
    """ConfigurationError, with all findings in the log, if there is one in these revisions."""
    if found := lint_revisions(project, revisions):
        log.error("revisions that are not safe", findings=[str(each) for each in found])
        more = f" ({len(found) - 1} more in the log.)" if len(found) > 1 else ""
        raise ConfigurationError(
            f"{found[0]}{more} Nothing was begun: correct it, or waive it there, {FORM}; or "
            "set lint_after in [tool.alembic_online] to the newest revision that is not to be linted"
        )
