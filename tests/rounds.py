"""How often tests repeat what fails only now and then, and with how much: the setting ROUNDS.

With `quick`, which it is where it is not set, each test does enough to fail on the faults that it was written for; with
`full`, what the figures in docs/faults.md were measured with.
"""

import os
from typing import TypeVar

ROUNDS = os.environ.get("ROUNDS") or "quick"

T = TypeVar("T")


def rounds(*, quick: T, full: T) -> T:
    """The one of these that ROUNDS names."""
    return full if ROUNDS == "full" else quick


# Seconds that other work of the machine may add to what a test times: CI runs suites in their quick form at once.
STALL = rounds(quick=6.0, full=1.0)
