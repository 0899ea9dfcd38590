"""What the lint says of the examples, and of a statement of each kind, word for word; and which rules are left of those
if the statement is in a contract revision.

`python -m tests.alembic_online.lint.messages` writes it into messages.txt, whose changes are to be read.
"""

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from alembic_online.lint import Finding, lint_revisions
from tests.alembic_online.lint.bodies import CONTRACT, REVISION
from tests.alembic_online.lint.examples import HERE, examples, findings, name_of, project

MESSAGES = HERE / "messages.txt"
STATEMENTS = (HERE / "statements.sql").read_text().splitlines()


@cache
def findings_of_statements(header: str = "") -> list[list[Finding]]:
    """The findings in each of the statements, as the only one of a revision; `header` may set its phase."""
    with tempfile.TemporaryDirectory() as folder:
        for number, sql in enumerate(STATEMENTS):
            text = REVISION.format(header=header, body=f"    op.execute({sql!r})")
            (Path(folder) / f"{number}.py").write_text(text.replace('"one"', f'"{number}"'))
        found: list[list[Finding]] = [[] for _ in STATEMENTS]
        for finding in lint_revisions(project(Path(folder)), [str(number) for number in range(len(STATEMENTS))]):
            found[int(finding.revision)].append(finding)
    return found


def messages() -> str:
    """What messages.txt has, unless something has changed."""
    return "\n".join([*_of_examples(), *_of_statements(), ""])


def _of_examples() -> Iterator[str]:
    for file in examples("unsafe"):
        yield name_of(file)
        yield from map(_line, findings("unsafe")[file])


def _of_statements() -> Iterator[str]:
    for sql, found, in_contract in zip(
        STATEMENTS, findings_of_statements(), findings_of_statements(CONTRACT), strict=True
    ):
        yield sql
        yield from map(_line, found)
        if (left := [one.rule for one in in_contract]) != [one.rule for one in found]:
            yield f"    in a contract revision: {', '.join(left) or 'nothing'}"


def _line(finding: Finding) -> str:
    return f"    {finding.rule}: {finding.what}. {finding.safe_way}."


if __name__ == "__main__":
    MESSAGES.write_text(messages())
