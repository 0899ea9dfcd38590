"""A run's steps: what is checked, counted and logged of each."""

from typing import Any

import pytest
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from sqlalchemy import Connection
from structlog.testing import capture_logs

from alembic_online.errors import LockLost
from alembic_online.runs.lock import migration_lock
from alembic_online.runs.steps import Progress, decided_once, one_by_one
from local.postgres import Server
from tests.alembic_online.sessions import engine_of, look
from tests.alembic_online.zoo import ZOO

FIRST = [*ZOO.scripts.walk_revisions()][-1]
STEPS: list[Any] = [
    RevisionStep(ZOO.scripts.revision_map, FIRST, True),
    RevisionStep(ZOO.scripts.revision_map, FIRST, False),
    StampStep(None, ("left", "right"), True, False, ZOO.scripts.revision_map),
]


async def test_each_has_a_line_when_it_begins_and_one_when_it_is_done(server: Server, database: str) -> None:
    progress = Progress("1")

    def work(connection: Connection) -> None:
        steps = one_by_one(lambda *_: STEPS, lock, progress)
        for number, _ in enumerate(steps((), MigrationContext.configure(connection))):
            assert progress.taken == number
        assert progress.taken == len(STEPS)

    with capture_logs() as log:
        async with migration_lock(engine_of(server, database), 30) as lock:
            await look(server, database, work)
    subject = {"subject": FIRST.doc}
    moves = [(FIRST.revision, "upgrade", subject), (FIRST.revision, "downgrade", subject), ("left, right", "stamp", {})]
    for number, (name, direction, said) in enumerate(moves):
        begun, done = log[2 * number : 2 * number + 2]
        what = {"revision": name, "direction": direction, "log_level": "info"}
        assert begun == {"event": "applying", **what, **said}
        seconds = done.pop("seconds")
        assert done == {"event": "applied", **what, "attempts": 2 if direction == "downgrade" else 1}
        assert 0 <= seconds < 60
        assert seconds == round(seconds, 3)


async def test_none_begins_without_the_lock(server: Server, database: str) -> None:
    progress = Progress("1")

    def work(connection: Connection) -> None:
        begun = iter(one_by_one(lambda *_: STEPS, lock, progress)((), MigrationContext.configure(connection)))
        assert next(begun) == STEPS[0]
        lost.append(True)

    lost: list[bool] = []
    async with migration_lock(engine_of(server, database), 30) as lock:
        await look(server, database, work)
    with pytest.raises(LockLost):
        await look(server, database, work)
    assert lost == [True]
    assert progress.taken == 0


def test_they_are_decided_once_and_a_further_try_has_what_is_left() -> None:
    progress = Progress("1")
    asked: list[Any] = []

    def target(heads: Any, _: Any) -> list[Any]:
        asked.append(heads)
        return [*STEPS]

    steps = decided_once(target, progress)
    context: Any = None
    assert steps("a", context) == STEPS
    progress.taken = 1
    assert steps("b", context) == STEPS[1:]
    progress.taken = 3
    assert steps("c", context) == []
    assert asked == ["a"]


def test_a_further_try_of_a_revision_is_counted_with_the_time_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("alembic_online.runs.steps.time.monotonic", lambda: now)
    progress = Progress("1")
    assert str(progress) == "Progress(release='1', revision='', attempts=0, taken=0)"  # before its times are known
    progress.begin("a")
    now = 103.0
    assert (progress.attempts, progress.duration, progress.waited, progress.lost) == (1, 3, 0, 3)
    progress.begin("a")
    now = 105.0
    assert (progress.attempts, progress.duration, progress.waited, progress.lost) == (2, 2, 3, 2)
    progress.keep()
    now = 106.0
    assert (progress.duration, progress.lost) == (3, 1)
    progress.begin("b")
    assert (progress.revision, progress.attempts, progress.waited) == ("b", 1, 0)
