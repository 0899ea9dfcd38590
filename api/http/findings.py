"""Findings about a request: what is wrong and where, in the form that every 422 has."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from api.errors import Unprocessable

MAX_FINDINGS = 20  # in one answer
MAX_NAME = 100  # characters of a name in a finding: it may be as long as a request can be

UNKNOWN = "Unknown field: leave it out, or correct its name"
TWICE = "Occurs more than once: send it once, because none of its values takes precedence"


def finding(kind: str, loc: Sequence[str | int], message: str) -> dict[str, Any]:
    """A finding; `loc` is the way to it, starting with body, query, header, cookie or path."""
    return {"type": kind, "loc": [part[:MAX_NAME] if isinstance(part, str) else part for part in loc], "msg": message}


def refuse_repeated(where: str, names: Sequence[str]) -> None:
    """Unprocessable if any of the names in this part of a request occurs more than once."""
    if len(set(names)) < len(names):
        twice = repeated(names)
        raise Unprocessable([finding("repeated", (where, name), TWICE) for name in twice[:MAX_FINDINGS]])


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, each once."""
    return [name for name, times in Counter(names).items() if times > 1]
