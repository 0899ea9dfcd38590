"""Findings about a request: what is wrong and where, in the form that every 422 has."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from api.errors import Unprocessable

MAX_FINDINGS = 20  # that a client is told of
MAX_NAME = 100  # characters of a name in a finding: it may be as long as a request can be

UNKNOWN = "Unknown field: leave it out, or correct its name"
TWICE = "Is there more than once: send it once, for none of them counts more than the other"


def finding(kind: str, loc: Sequence[str | int], message: str) -> dict[str, Any]:
    """A finding; `loc` leads to where it is, from body, query, header, cookie or path on."""
    return {"type": kind, "loc": [part[:MAX_NAME] if isinstance(part, str) else part for part in loc], "msg": message}


def refuse_repeated(where: str, names: Sequence[str]) -> None:
    """Unprocessable where any of the names in this part of a request is there more than once."""
    if len(set(names)) < len(names):
        twice = repeated(names)
        raise Unprocessable([finding("repeated", (where, name), TWICE) for name in twice[:MAX_FINDINGS]])


def repeated(names: Iterable[str]) -> list[str]:
    """Those that are there more than once, each once."""
    return [name for name, times in Counter(names).items() if times > 1]
