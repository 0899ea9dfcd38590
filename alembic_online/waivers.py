"""Waivers of the lint: comments in a revision, `# lint: allow <rule>: <reason>`.

Guarantee: a waiver may be added to a revision that was applied: the checksum leaves waivers out, because they do
nothing.
"""

import io
import re
import tokenize
from dataclasses import dataclass

MARK = b"# lint:"
FORM = "# lint: allow <rule>: <reason>"
_WAIVER = re.compile(r"# lint: allow (?P<rule>[a-z0-9-]+): *(?P<reason>\S.*)")


@dataclass(frozen=True)
class Waiver:
    """A waiver; `rule` and `reason` are empty if it is malformed. `is_line` is whether it has a line of its own."""

    line: int
    rule: str
    reason: str
    is_line: bool


def find_waivers(source: bytes) -> list[Waiver]:
    """The waivers in a Python file, from top to bottom."""
    return [
        Waiver(
            token.start[0],
            found["rule"] if (found := _WAIVER.fullmatch(token.string)) else "",
            found["reason"] if found else "",
            is_line=not token.line[: token.start[1]].strip(),
        )
        for token in _comments(source)
    ]


def without_waivers(source: bytes) -> bytes:
    """The file without its waivers."""
    lines = source.splitlines(keepends=True)
    for token in reversed(_comments(source)):
        row, column = token.start
        line = lines[row - 1].decode()
        before = line[:column].rstrip()
        end = "\n" if before and line.endswith("\n") else ""
        lines[row - 1] = f"{before}{end}".encode()
    return b"".join(lines)


def _comments(source: bytes) -> list[tokenize.TokenInfo]:
    if MARK not in source:
        return []
    return [
        token
        for token in tokenize.tokenize(io.BytesIO(source).readline)
        if token.type == tokenize.COMMENT and token.string.encode().startswith(MARK)
    ]
