"""What the lint says of the examples, and of a statement of each kind, word for word; and which rules are left of those
if the statement is in a contract revision.

`python -m tests.alembic_online.lint.messages` writes it into messages.txt, whose changes are to be read.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from alembic_online.lint import Finding
from tests.alembic_online.lint.bodies import CONTRACT, lint_bodies
from tests.alembic_online.lint.examples import HERE, examples, findings, name_of

MESSAGES = HERE / "messages.txt"
STATEMENTS = (HERE / "statements.sql").read_text().splitlines()


@cache
def findings_of_statements() -> dict[str, list[Finding]]:
    """The findings in each of the statements, as the only one of a revision."""
    return _lint(STATEMENTS, "")


def _lint(statements: Sequence[str], header: str) -> dict[str, list[Finding]]:
    with tempfile.TemporaryDirectory() as folder:
        found = lint_bodies(Path(folder), [(header, f"op.execute({sql!r})") for sql in statements])
    return dict(zip(statements, found, strict=True))


def messages() -> str:
    """What messages.txt has, unless something has changed."""
    return "\n".join([*_of_examples(), *_of_statements(), ""])


def _of_examples() -> Iterator[str]:
    for file in examples("unsafe"):
        yield name_of(file)
        yield from map(_line, findings("unsafe")[file])


def _of_statements() -> Iterator[str]:
    findings = findings_of_statements()
    in_contract = _lint([sql for sql, found in findings.items() if found], CONTRACT)
    for sql, found in findings.items():
        yield sql
        yield from map(_line, found)
        if (left := [one.rule for one in in_contract.get(sql, [])]) != [one.rule for one in found]:
            yield f"    in a contract revision: {', '.join(left) or 'nothing'}"


def _line(finding: Finding) -> str:
    return f"    {finding.rule}: {finding.what}. {finding.safe_way}."


if __name__ == "__main__":
    MESSAGES.write_text(messages())
