"""Messages, about statements of every kind: none is too much for the lint, and none has a name that is empty."""

import re

from tests.alembic_online.lint.messages import MESSAGES, STATEMENTS, findings_of_statements, messages

# A word that a name belongs after, and none; or a name of nothing.
EMPTY = re.compile(r"(?<!then )\b(?:of|on|the|to|from|in|drops) ?(?:[.,;:)]|$)|  |\"\"|(?<!\w)\(\)| \.[a-z]")


def test_they_are_those_that_were_read() -> None:
    assert messages() == MESSAGES.read_text(), "if it is meant: python -m tests.alembic_online.lint.messages"


def test_no_name_is_empty() -> None:
    assert sum(map(bool, findings_of_statements().values())) > len(STATEMENTS) / 2
    for sql, found in findings_of_statements().items():
        for finding in found:
            said = f"{finding.what}. {finding.safe_way}."
            assert not EMPTY.search(said), (sql, said)
