"""How long a revision is retried: the time of its lasting progress, and of revisions before it, does not count.

Locks and time-outs are real. Only the clock is not: it goes on when a revision says so, and in the pauses.
"""

import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only
from structlog.testing import capture_logs

from alembic_online.errors import LocksNotObtained
from alembic_online.runs import retries, steps
from alembic_online.runs.connection import LOCK, RUN, create_engine
from alembic_online.runs.lock import migration_lock
from alembic_online.runs.retries import run_with_retries
from alembic_online.runs.steps import Progress
from alembic_online.settings import Settings
from local.postgres import Server

# Two attempts that fail at once take less, with the longest pauses after them; an attempt with LONG takes more.
RETRY_SECONDS = 4.5
LONG = 4.6
NEEDS_LOCK = "LOCK TABLE exhibits"
FAILS = "DO $$ BEGIN RAISE 'it failed' USING ERRCODE = '{}'; END $$"
LONG_ONLINE = "ALTER TABLE animals VALIDATE CONSTRAINT has_time"
HAS_TIME = (
    "INSERT INTO animals (name) VALUES ('Amara')",
    "ALTER TABLE animals ADD CONSTRAINT has_time CHECK (current_setting('lock_timeout') = '4500ms') NOT VALID",
)

Migrate = Callable[[Connection, Progress], None]


@dataclass
class Clock:
    """The time of tries, and the pauses between them."""

    now: float = field(default_factory=time.monotonic)
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(retries, "asyncio", clock)
    monkeypatch.setattr(steps, "time", clock)
    return clock


@pytest.fixture
def always_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a pause may be."""
    monkeypatch.setattr(random, "uniform", lambda least, most: (least + most) / 2)


@pytest.fixture
async def reader(server: Server, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A session that has read `exhibits` in a transaction that is still open."""
    connection = await asyncpg.connect(server.url("zoo_api", database))
    await connection.execute("BEGIN")
    await connection.execute("SELECT FROM exhibits")
    yield connection
    await connection.close()


async def run(
    server: Server, database: str, progress: Progress, migrate: Migrate, retry_seconds: float = RETRY_SECONDS
) -> list[str]:
    """Run `migrate` with retries, as the migrator does; returns the time-out for locks of each try."""
    url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()
    limits: list[str] = []

    def engine(lock_timeout: str) -> AsyncEngine:
        limits.append(lock_timeout)
        return create_engine(url, RUN, lock_timeout=lock_timeout)

    async with migration_lock(create_engine(url, LOCK), 30) as lock:
        await run_with_retries(engine, lambda found: migrate(found, progress), lock, progress, retry_seconds)
    return limits


async def test_the_time_of_the_revision_before_does_not_count(
    server: Server, database: str, reader: asyncpg.Connection, clock: Clock
) -> None:
    def migrate(connection: Connection, progress: Progress) -> None:
        if not progress.revision:
            progress.begin("before")
            clock.now += LONG
            connection.commit()
        progress.begin("after")
        if progress.attempts > 1:
            await_only(reader.execute("COMMIT"))
        connection.exec_driver_sql(NEEDS_LOCK)

    progress = Progress("1")
    assert await run(server, database, progress, migrate) == ["500ms", "500ms"]
    assert (progress.revision, progress.attempts) == ("after", 2)


async def test_a_revision_that_takes_long_is_tried_again(
    server: Server, database: str, reader: asyncpg.Connection, clock: Clock
) -> None:
    def migrate(connection: Connection, progress: Progress) -> None:
        assert not connection.in_transaction()  # Alembic begins its own
        progress.begin("long")
        if progress.attempts > 1:
            await_only(reader.execute("COMMIT"))
        else:
            clock.now += LONG
        connection.exec_driver_sql(NEEDS_LOCK)

    progress = Progress("1")
    await run(server, database, progress, migrate)
    assert progress.attempts == 2
    assert progress.waited == pytest.approx(LONG + sum(clock.pauses))
    assert progress.duration == 0


async def test_time_whose_work_is_rolled_back_counts(
    server: Server, database: str, reader: asyncpg.Connection, clock: Clock
) -> None:
    def migrate(connection: Connection, progress: Progress) -> None:
        progress.begin("long")
        if progress.attempts > 1:
            clock.now += LONG
        connection.exec_driver_sql(NEEDS_LOCK)

    progress = Progress("1")
    with capture_logs() as log, pytest.raises(LocksNotObtained) as caught:
        await run(server, database, progress, migrate)
    assert progress.attempts == 2
    [in_the_way] = log[0]["in_the_way"]
    assert in_the_way.startswith(f"pid {reader.get_server_pid()} (")
    assert [line for line in log if line["event"] == "a try did not get its locks"] == log
    assert [(line["revision"], line["attempts"], line["lock_timeout"]) for line in log] == [
        ("long", 1, "500ms"),
        ("long", 2, "500ms"),
    ]
    said = str(caught.value)
    assert said.startswith("revision long did not get its locks in 4.5 s and is rolled back. In the way: pid ")
    assert in_the_way in said


async def test_the_time_of_a_finished_online_statement_does_not_count(
    server: Server, database: str, admin: asyncpg.Connection, reader: asyncpg.Connection, clock: Clock
) -> None:
    for statement in HAS_TIME:
        await admin.execute(statement)

    def migrate(connection: Connection, progress: Progress) -> None:
        progress.begin("online")
        if progress.attempts == 2:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            clock.now += LONG
            connection.exec_driver_sql(LONG_ONLINE)
        if progress.attempts == 3:
            await_only(reader.execute("COMMIT"))
        connection.exec_driver_sql("SELECT 1")
        connection.exec_driver_sql(f"DO $$ BEGIN {NEEDS_LOCK}; END $$")  # LOCK TABLE needs a transaction

    progress = Progress("1")
    await run(server, database, progress, migrate)
    assert progress.attempts == 3


@pytest.mark.parametrize(
    ("autocommits", "statement"),
    [(False, LONG_ONLINE), (True, "SELECT 1")],
    ids=["in a transaction", "nothing that is built"],
)
async def test_what_does_not_last_or_is_no_progress_counts(  # noqa: PLR0913, PLR0917 - fixtures
    server: Server, database: str, admin: asyncpg.Connection, clock: Clock, autocommits: bool, statement: str
) -> None:
    for made in HAS_TIME:
        await admin.execute(made)

    def migrate(connection: Connection, progress: Progress) -> None:
        progress.begin("online")
        if autocommits:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        clock.now += LONG
        connection.exec_driver_sql(statement)
        connection.exec_driver_sql(FAILS.format("55P03"))

    progress = Progress("1")
    with pytest.raises(LocksNotObtained):
        await run(server, database, progress, migrate)
    assert progress.attempts == 2


@pytest.mark.usefixtures("always_the_middle")
async def test_of_a_try_that_ends_before_its_revision_begins_its_own_time_counts(
    server: Server, database: str, clock: Clock
) -> None:
    """Of the first try, nothing counts, and of the second LONG, with the pauses of 0.5 and 1 s."""
    tries = 0

    def migrate(connection: Connection, progress: Progress) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            progress.begin("slow")
        clock.now += LONG
        connection.exec_driver_sql(FAILS.format("55P03"))

    with pytest.raises(LocksNotObtained):
        await run(server, database, Progress("1"), migrate, LONG + 2)
    assert tries == 3


@pytest.mark.parametrize("sqlstate", ["55P03", "40P01"])
async def test_pauses_are_longer_each_time_up_to_ten_seconds_and_no_two_are_the_same(
    server: Server, database: str, clock: Clock, sqlstate: str
) -> None:
    """A lock that was not obtained, and a deadlock."""

    def migrate(connection: Connection, _: Progress) -> None:
        connection.exec_driver_sql(FAILS.format(sqlstate))

    with capture_logs() as log, pytest.raises(LocksNotObtained, match="ended before they could be named"):
        await run(server, database, Progress("1"), migrate, 300)
    assert {line["attempts"] for line in log} == {0}  # it has not begun any revision
    parts = [pause / min(0.5 * 2**number, 10) for number, pause in enumerate(clock.pauses)]
    assert 0.5 <= min(parts) < 0.9
    assert 1.1 < max(parts) <= 1.5
    assert 300 - 15 < sum(clock.pauses) <= 300


@pytest.mark.usefixtures("always_the_middle")
async def test_each_revision_begins_with_the_first_pause_and_none_of_its_time_lost(
    server: Server, database: str, clock: Clock
) -> None:
    tries: list[str] = []

    def migrate(connection: Connection, progress: Progress) -> None:
        revision = "one" if len(tries) < 5 else "two" if len(tries) < 8 else "three"
        progress.begin(revision)
        tries.append(revision)
        connection.exec_driver_sql(FAILS.format("55P03"))

    progress = Progress("1")
    with pytest.raises(LocksNotObtained, match="revision three"):
        await run(server, database, progress, migrate, 15.6)
    assert clock.pauses == [0.5, 1, 2, 4, 8, 0.5, 1, 2, 0.5, 1, 2, 4, 8]
    assert progress.attempts == 6


@pytest.mark.parametrize("sqlstate", ["57014", "40001", "22012"])
async def test_what_fails_for_another_reason_is_not_tried_again(
    server: Server, database: str, clock: Clock, sqlstate: str
) -> None:
    def migrate(connection: Connection, progress: Progress) -> None:
        progress.begin("fails")
        connection.exec_driver_sql(FAILS.format(sqlstate))

    progress = Progress("1")
    with pytest.raises(DBAPIError, match="it failed"):
        await run(server, database, progress, migrate)
    assert (progress.attempts, clock.pauses) == (1, [])
