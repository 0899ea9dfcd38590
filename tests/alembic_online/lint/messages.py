"""What the lint says of the examples, and of a statement of each kind, word for word.

`python -m tests.alembic_online.lint.messages` writes it into messages.txt, whose changes are to be read.
"""

import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from alembic_online.lint import Finding, lint_revisions
from tests.alembic_online.lint.bodies import REVISION
from tests.alembic_online.lint.examples import HERE, examples, findings, name_of, project

MESSAGES = HERE / "messages.txt"
STATEMENTS = (HERE / "statements.sql").read_text().splitlines()


@cache
def findings_of_statements() -> list[list[Finding]]:
    """The findings in each of the statements, as the only one of a revision."""
    with tempfile.TemporaryDirectory() as folder:
        for number, sql in enumerate(STATEMENTS):
            text = REVISION.format(header="", body=f"    op.execute({sql!r})")
            (Path(folder) / f"{number}.py").write_text(text.replace('"one"', f'"{number}"'))
        found: list[list[Finding]] = [[] for _ in STATEMENTS]
        for finding in lint_revisions(project(Path(folder)), [str(number) for number in range(len(STATEMENTS))]):
            found[int(finding.revision)].append(finding)
    return found


def messages() -> str:
    """All of them."""
    of_examples = ((name_of(file), findings("unsafe")[file]) for file in examples("unsafe"))
    of_statements = zip(STATEMENTS, findings_of_statements(), strict=True)
    return "\n".join([*_lines(of_examples), *_lines(of_statements), ""])


def _lines(found: Iterable[tuple[str, list[Finding]]]) -> Iterator[str]:
    for about, each in found:
        yield about
        yield from (f"    {one.rule}: {one.what}. {one.safe_way}." for one in each)


if __name__ == "__main__":
    MESSAGES.write_text(messages())
