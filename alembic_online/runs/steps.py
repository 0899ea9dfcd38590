"""One revision after the other.

Guarantees: before each revision begins, and before it is committed, the migration lock is checked to be held. Each has
two lines in the log, when it begins and when it is applied. Which revisions a run has is decided once, however often
one is tried.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep

from alembic_online.runs.lock import MigrationLock

log = structlog.get_logger(__name__)

Steps = Callable[[Any, MigrationContext], Iterable[RevisionStep | StampStep]]


@dataclass
class Progress:
    """What is known of the revision under way, which may be tried several times."""

    release: str
    revision: str = ""
    attempts: int = 0
    taken: int = 0
    """The number of steps that are done, whatever becomes of the one under way."""
    # Known once a try begins.
    started_at: datetime = field(init=False, repr=False)
    began: float = field(init=False, repr=False)
    first_began: float = field(init=False, repr=False)
    kept: float = field(init=False, repr=False)

    def begin(self, revision: str) -> None:
        """Note that a try begins: the first of `revision`, or a further one."""
        self.began = self.kept = time.monotonic()
        self.started_at = datetime.now(UTC)
        if revision != self.revision:
            self.revision, self.attempts, self.first_began = revision, 0, self.began
        self.attempts += 1

    def keep(self) -> None:
        """Note that what was done so far stays done, whatever becomes of this try."""
        self.kept = time.monotonic()

    @property
    def lost(self) -> float:
        """Seconds since what was last kept: what a try that fails now has lost."""
        return time.monotonic() - self.kept

    @property
    def duration(self) -> float:
        """Seconds of this try."""
        return time.monotonic() - self.began

    @property
    def waited(self) -> float:
        """Seconds before this try: failed tries, and the pauses between them."""
        return self.began - self.first_began


def decided_once(steps: Steps, progress: Progress) -> Steps:
    """The `steps` that are left. They are computed once: relative targets, such as -1, change with each step taken."""
    planned: list[RevisionStep | StampStep] = []

    def run(heads: Any, context: MigrationContext) -> list[RevisionStep | StampStep]:
        if not planned:
            planned.extend(steps(heads, context))
        return planned[progress.taken :]

    return run


def one_by_one(steps: Steps, lock: MigrationLock, progress: Progress) -> Steps:
    """`steps`, from one revision to another, with the checks and log lines of each."""

    def run(heads: Any, context: MigrationContext) -> Iterator[RevisionStep | StampStep]:
        for step in steps(heads, context):
            info = step.info
            what = {
                "revision": ", ".join(info.up_revision_ids),
                "direction": "stamp" if info.is_stamp else "upgrade" if info.is_upgrade else "downgrade",
            }
            progress.begin(what["revision"])
            assert context.connection is not None
            lock.require(context.connection)  # in what will be the revision's transaction
            log.info("applying", **what, **({"subject": step.doc} if step.doc else {}))
            yield step
            progress.taken += 1
            log.info("applied", **what, seconds=round(progress.duration, 3), attempts=progress.attempts)

    return run
