"""Applies waivers: `# lint: allow <rule>: <reason>`, within a statement's lines or right above it."""

from collections.abc import Sequence

from alembic_online.lint.finding import Problem
from alembic_online.lint.revision import RevisionFile
from alembic_online.lint.rules import RULES
from alembic_online.lint.source import span_of
from alembic_online.lint.squawk_rules import KEPT
from alembic_online.waivers import FORM, Waiver, find_waivers


def without_waived(file: RevisionFile, problems: Sequence[Problem]) -> list[Problem]:
    """The problems that are not waived, and what is wrong with the waivers."""
    waivers = find_waivers(file.source)
    left, used = [], set()
    for problem in problems:
        lines = _lines(file, problem.line)
        waiving = [waiver for waiver in waivers if waiver.line in lines and waiver.rule == problem.rule]
        used |= set(waiving)
        if not waiving:
            left.append(problem)
    left += [_useless(waiver) for waiver in waivers if waiver not in used]
    return sorted(left, key=lambda problem: problem.line)


def _lines(file: RevisionFile, line: int) -> set[int]:
    """The lines where a waiver of a finding in `line` may be."""
    span = span_of(file.tree, line)
    lines, text = set(span), file.source.splitlines()
    above = span.start - 1
    while above > 0 and text[above - 1].lstrip().startswith(b"#"):
        lines.add(above)
        above -= 1
    return lines


def _useless(waiver: Waiver) -> Problem:
    if not waiver.rule:
        return Problem("waiver", waiver.line, "waives nothing: it has no reason, or is malformed", f"Write {FORM}")
    if waiver.rule not in RULES.keys() | KEPT.keys():
        return Problem("waiver", waiver.line, f"there is no rule {waiver.rule}", "Name the rule of the finding")
    return Problem(
        "waiver",
        waiver.line,
        f"waives nothing: the statement that it is in, or above, has no finding of {waiver.rule}",
        "Remove it, or put it where the finding is",
    )
