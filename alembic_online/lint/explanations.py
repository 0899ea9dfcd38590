"""The rules at length: what the one line of a finding has no room for."""

import textwrap
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

WIDTH = 100


@dataclass(frozen=True)
class Explanation:
    """Why a rule exists, what happens in Postgres, and the safe way, as code that can be pasted.

    If the code is more than one revision, a comment that ends in "revision:" is between them.
    """

    why: str
    in_postgres: str
    safe_way: str


@cache
def explanations() -> dict[str, Explanation]:
    """The explanations of all rules, ours and squawk's, from explanations.toml."""
    found = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    return {rule: Explanation(**{name: text.strip() for name, text in parts.items()}) for rule, parts in found.items()}


def explain(rule: str) -> str:
    """The explanation of a rule, for a terminal.

    ValueError, with the most similar names, if there is no such rule.
    """
    known = explanations()
    if rule not in known:
        nearest = get_close_matches(rule, known, n=3, cutoff=0)
        raise ValueError(f"there is no rule {rule!r}; the nearest are {', '.join(nearest)}")
    explanation = known[rule]
    return "\n".join(
        [
            rule,
            "",
            textwrap.fill(explanation.why, WIDTH),
            "",
            textwrap.fill(f"In Postgres: {explanation.in_postgres}", WIDTH),
            "",
            "The safe way:",
            "",
            textwrap.indent(explanation.safe_way, "    "),
        ]
    )
