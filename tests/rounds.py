"""How often, and with how much data, tests repeat what fails only now and then: the setting ROUNDS.

With `quick`, the default, each test does enough to fail on the faults that it was written for; `full` is what the
figures in docs/faults.md were measured with.
"""

import os
from typing import TypeVar

ROUNDS = os.environ.get("ROUNDS") or "quick"

T = TypeVar("T")


def rounds(*, quick: T, full: T) -> T:
    """The value for this run's ROUNDS."""
    return full if ROUNDS == "full" else quick


# Seconds that other work on the machine may add to measured times: CI runs several quick suites at once.
STALL = rounds(quick=6.0, full=1.0)
# Seconds that a request waits for a connection (DATABASE_POOL_TIMEOUT, by default 2), where none may be refused.
POOL_TIMEOUT = str(rounds(quick=2 + STALL, full=2))
