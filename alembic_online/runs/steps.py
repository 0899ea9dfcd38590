"""One revision after the other.

Guarantees: before each, and before each is committed, the migration lock is known to be held; and each has two lines in
the log, when it begins and when it is applied. Which they are is decided once, however often one is tried.
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
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = 0
    first_began: float = 0
    kept: float = 0
    taken: int = 0
    """Steps that are behind the run, whatever becomes of the one under way."""

    def begin(self, revision: str) -> None:
        """A try begins: the first of `revision`, or a further one."""
        self.began = self.kept = time.monotonic()
        self.started_at = datetime.now(UTC)
        if revision != self.revision:
            self.revision, self.attempts, self.first_began = revision, 0, self.began
        self.attempts += 1

    def keep(self) -> None:
        """What was done up to here stays done, whatever becomes of this try."""
        self.kept = time.monotonic()

    @property
    def lost(self) -> float:
        """Seconds since the last that stays done: those of a try that fails now."""
        return time.monotonic() - self.kept

    @property
    def duration(self) -> float:
        """Seconds of this try."""
        return time.monotonic() - self.began

    @property
    def waited(self) -> float:
        """Seconds before this try: those that failed, and the pauses between them."""
        return self.began - self.first_began


def decided_once(steps: Steps, progress: Progress) -> Steps:
    """Those of `steps` that are left. To be asked again would be wrong: -1 means another, once one was taken."""
    planned: list[RevisionStep | StampStep] = []

    def run(heads: Any, context: MigrationContext) -> list[RevisionStep | StampStep]:
        if not planned:
            planned.extend(steps(heads, context))
        return planned[progress.taken :]

    return run


def one_by_one(steps: Steps, lock: MigrationLock, progress: Progress) -> Steps:
    """`steps`, Alembic's way from one revision to another, with what goes before and after each."""

    def run(heads: Any, context: MigrationContext) -> Iterator[RevisionStep | StampStep]:
        for step in steps(heads, context):
            info = step.info
            what = {
                "revision": ", ".join(info.up_revision_ids),
                "direction": "stamp" if info.is_stamp else "upgrade" if info.is_upgrade else "downgrade",
            }
            progress.begin(what["revision"])
            assert context.connection is not None
            lock.require(context.connection)  # in the transaction that will be the revision's
            log.info("applying", **what, **({"subject": step.doc} if step.doc else {}))
            yield step
            progress.taken += 1
            log.info("applied", **what, seconds=round(progress.duration, 3), attempts=progress.attempts)

    return run
