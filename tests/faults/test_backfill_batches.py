"""Backfills: which rows they write, at which pace, when they pause, and where they resume."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from alembic_online.backfill import Backfill, offline_sql
from alembic_online.backfill.batches import find_batches
from alembic_online.backfill.pace import fit
from alembic_online.backfill.state import begin, find_batch, write_batch
from alembic_online.errors import LockLost
from alembic_online.runs.retries import LOCK_TIMEOUT
from alembic_online.runs.steps import Progress
from alembic_online.settings import Settings
from local.postgres import Server
from tests.alembic_online.backfilling import STATE, backfill, found, run_offline, under_way
from tests.alembic_online.operating import operate
from tests.conftest import WAITING, superuser
from tests.python import HANGS

NAMES = Backfill("animals", {"common_name": "name"})
RIGHT = "SELECT count(*) FROM animals WHERE common_name IS NOT DISTINCT FROM name"
WAITING_FOR = "SELECT waiting_for FROM migration_backfills WHERE waiting_for IS NOT NULL"
SEEN = "SELECT rows_seen FROM migration_backfills WHERE rows_seen > 0"
ROWS = 2500
# With it, a batch of 1,000 rows takes more than 0.2 s.
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.003); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON animals FOR EACH ROW WHEN (NEW.id % 10 = 0) EXECUTE FUNCTION slow()
"""
BATCH_UNDER_WAY = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'WITH changed%'"
    " AND state = 'active' AND pid <> pg_backend_pid()"
)
LOCK_HOLDER = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'migrator lock' AND datname = current_database()"
)


@pytest.fixture(autouse=True)
async def animals(admin: asyncpg.Connection) -> None:
    await admin.execute("ALTER TABLE animals ADD COLUMN common_name text")
    await admin.execute("INSERT INTO animals (name) SELECT md5(n::text) FROM generate_series(1, $1) n", ROWS)


class TestRows:
    @pytest.mark.parametrize("offline", [False, True], ids=["online", "offline"])
    async def test_that_are_correct_or_not_selected_are_not_written(
        self, server: Server, database: str, admin: asyncpg.Connection, offline: bool
    ) -> None:
        await admin.execute("UPDATE animals SET common_name = name WHERE id % 5 = 0")
        before = {row["id"]: row["xmin"] for row in await admin.fetch("SELECT id, xmin FROM animals")}
        definition = Backfill("animals", {"common_name": "name"}, where="id % 5 = 0 OR id % 5 = 1")
        if offline:
            await run_offline(server, database, definition)
        else:
            await backfill(server, database, definition)
            state = await admin.fetchrow(STATE)
            assert (state["rows_seen"], state["rows_changed"]) == (ROWS, ROWS // 5)
        rows = await admin.fetch("SELECT id, xmin, name, common_name FROM animals")
        assert {row["id"] for row in rows if row["xmin"] != before[row["id"]]} == set(range(1, ROWS + 1, 5))
        assert all(row["common_name"] == (row["name"] if row["id"] % 5 <= 1 else None) for row in rows)

    async def test_become_null_if_the_expression_is_null(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("UPDATE animals SET common_name = 'x'")
        await backfill(server, database, Backfill("animals", {"common_name": "nullif(name, name)"}))
        assert await admin.fetchval("SELECT count(common_name) FROM animals") == 0
        assert (await admin.fetchrow(STATE))["rows_changed"] == ROWS

    async def test_are_correct_if_they_hold_the_value_as_their_type_stores_it(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        """The value is rounded, equal in another form, or of a type without an equality operator."""
        await admin.execute("ALTER TABLE animals ADD third int, ADD weight numeric DEFAULT 1.50, ADD settings json")
        settings = {"a": ":b %s %% $1 $backfill$"}
        definition = Backfill(
            "animals", {"third": "id / 3.0", "weight": "1.5", "settings": f"'{json.dumps(settings)}'"}
        )
        await backfill(server, database, definition)
        row = await admin.fetchrow("SELECT third, weight::text, settings FROM animals WHERE id = 5")
        assert (row["third"], json.loads(row["settings"])) == (2, settings)
        await backfill(server, database, definition, Backfill("animals", {"weight": "1.500"}))
        assert [state["rows_changed"] for state in await admin.fetch(STATE)] == [0, 0]

    async def test_are_written_by_a_script_a_thousand_at_a_time_whatever_is_written(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await run_offline(server, database, Backfill("animals", {"common_name": "'$backfill$'"}))
        written = "SELECT count(*) FROM animals WHERE common_name = '$backfill$' GROUP BY xmin::text ORDER BY min(id)"
        assert [row["count"] for row in await admin.fetch(written)] == [1000, 1000, 500]

    @pytest.mark.parametrize("offline", [False, True], ids=["online", "offline"])
    async def test_of_a_table_with_none_or_one(
        self, server: Server, database: str, admin: asyncpg.Connection, offline: bool
    ) -> None:
        await admin.execute("TRUNCATE animals CASCADE")
        for rows in (0, 1):
            await (run_offline if offline else backfill)(server, database, NAMES)
            assert await admin.fetchval(RIGHT) == rows
            if not offline:
                state = await admin.fetchrow(STATE)
                assert state["finished_at"]
                assert (state["rows_seen"], bool(state["rows_estimated"])) == (rows, rows > 0)
            await admin.execute("INSERT INTO animals (name) VALUES ('one')")

    async def test_inserted_after_the_start_are_not_written_so_that_it_ends(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        over = asyncio.Event()

        async def insert() -> None:
            while not over.is_set():  # several times faster than the backfill
                await admin.execute("INSERT INTO animals (name) SELECT 'new' FROM generate_series(1, 200)")

        async with asyncio.TaskGroup() as tasks, asyncio.timeout(HANGS):
            tasks.create_task(insert())
            await backfill(server, database, NAMES)
            over.set()
        state = await admin.fetchrow(STATE)
        rows = await admin.fetchrow("SELECT count(*) AS there, count(common_name) AS done FROM animals")
        assert ROWS <= rows["done"] == state["rows_seen"] < rows["there"]
        assert await admin.fetchval(f"{RIGHT} AND id <= $1", int(*state["upper_bound"])) == rows["done"]


class TestPace:
    @pytest.mark.parametrize(
        ("size", "took", "then"),
        [
            (1000, 0.2, 1000),
            (1000, 0.16, 1250),
            (1000, 0.25, 800),
            (1000, 0.1, 2000),
            (1000, 0, 2000),
            (1000, 60, 500),
            (1, 60, 1),
            (40_000, 0, 80_000),
            (80_000, 0, 100_000),
        ],
    )
    def test_a_batch_becomes_at_most_twice_or_half_as_large(self, size: int, took: float, then: int) -> None:
        assert fit(size, took) == then

    async def test_batches_are_small_if_rows_take_long(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(SLOW)
        async with under_way(server, database, NAMES):
            second = "SELECT batch_size FROM migration_backfills WHERE rows_seen > 1000"
            assert await found(admin, second) < 1000

    async def test_batches_are_large_if_rows_take_no_time(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("UPDATE animals SET common_name = name")
        await backfill(server, database, NAMES)
        assert (await admin.fetchrow(STATE))["batch_size"] > 1000


@dataclass
class Clock:
    """A clock that goes on only when the backfill pauses; `then` is done in each pause."""

    now: float = 0
    then: Callable[[], Awaitable[None]] | None = None

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds or 0.1
        if self.then:
            await self.then()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(time.monotonic())  # from which the patience is counted
    for module in ("execute", "load", "pace"):
        monkeypatch.setattr(f"alembic_online.backfill.{module}.time", clock)
    monkeypatch.setattr("alembic_online.backfill.load.asyncio", clock)
    return clock


class TestLog:
    async def test_says_how_far_it_is_when_more_than_five_seconds_have_passed(
        self, server: Server, database: str, admin: asyncpg.Connection, clock: Clock
    ) -> None:
        async def then() -> None:
            clock.now = next(times)

        clock.then = then
        for after, rows, changed in (([5.0, 5.0], [], ROWS), ([5.01, 10.0], [1000], 0), ([5.0, 5.01], [ROWS], 0)):
            await admin.execute("ANALYZE animals")
            clock.now, times = 0, iter(after)  # one after each of two batches
            with capture_logs() as log:
                await backfill(server, database, NAMES)
            began, *between, ended = log
            assert (began["event"], began["table"], began["rows"]) == ("backfill begins", "animals", 0)
            assert [(line["event"], line["rows"]) for line in between] == [("backfilling", number) for number in rows]
            assert (ended["event"], ended["rows"], ended["changed"]) == ("backfilled", ROWS, changed)
            assert ended["seconds"] == round(after[-1], 1)
            if rows == [1000]:
                assert (between[0]["percent"], between[0]["rows_per_second"]) == (40.0, 200)


class TestRetry:
    async def test_it_waits_for_a_locked_row_and_computes_from_its_new_values(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("UPDATE animals SET name = 'changed' WHERE id = 700")
        other = await superuser(server, database)
        with capture_logs() as log:
            async with under_way(server, database, NAMES) as task:
                await found(other, "SELECT count(*) FROM migration_backfills WHERE cursor = '{500}'")
                await transaction.commit()
                await task
        await other.close()
        failed = [line["rows"] for line in log if line["event"] == "a batch did not get its locks"]
        assert failed[0] == 1000
        assert await admin.fetchval(RIGHT) == ROWS
        assert await admin.fetchval("SELECT common_name FROM animals WHERE id = 700") == "changed"

    async def test_begins_anew_with_each_batch_that_is_done(
        self, server: Server, database: str, admin: asyncpg.Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lock is waited for as long as if it had been the first; what is done stays done if the run fails."""
        monkeypatch.setenv("MIGRATOR_RETRY_SECONDS", "10")
        await admin.execute("INSERT INTO animals (name) SELECT 'more' FROM generate_series(1, $1)", ROWS)
        other = await superuser(server, database)
        transaction = other.transaction()
        progress, kept = Progress("1"), []

        async def then() -> None:
            kept.append(progress.kept)
            if len(kept) == 1:
                clock.now += 9
            elif len(kept) == 2:
                clock.now += 5
                await transaction.start()
                await other.execute("SELECT FROM animals WHERE id = $1 FOR UPDATE", 2 * ROWS)
            elif len(kept) == 3:  # the third batch did not get its locks
                await transaction.rollback()

        clock.then = then
        await backfill(server, database, NAMES, progress=progress)
        await other.close()
        assert progress.began < kept[0] < kept[1] == kept[2] < kept[3]
        assert await admin.fetchval(RIGHT) == 2 * ROWS

    async def test_ends_after_too_long_without_progress(
        self, server: Server, database: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MIGRATOR_RETRY_SECONDS", "1")
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("SELECT FROM animals WHERE id = 1 FOR UPDATE")
        with pytest.raises(DBAPIError, match="lock timeout"):
            await backfill(server, database, NAMES)
        await transaction.rollback()

    async def test_the_sql_script_tries_again_too(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("UPDATE animals SET name = 'changed' WHERE id = 700")
        other = await superuser(server, database)
        running = asyncio.create_task(run_offline(server, database, NAMES))
        await found(other, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'DO %'")
        await transaction.commit()
        await running
        await other.close()
        assert await admin.fetchval(RIGHT) == ROWS

    def test_the_sql_script_tries_for_as_long_as_a_run(self) -> None:
        """Each try waits half a second for its lock, and then half a second on average."""
        assert LOCK_TIMEOUT == "500ms"
        assert f" IN 1..{Settings().migrator_retry_seconds:g} LOOP" in offline_sql(NAMES)

    async def test_any_other_error_ends_it_but_keeps_finished_batches(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        with pytest.raises(DBAPIError, match="division by zero"):
            await backfill(server, database, Backfill("animals", {"common_name": "(1 / (id - 1500))::text"}))
        assert await admin.fetchval("SELECT count(common_name) FROM animals") == 1000


class TestPausing:
    async def test_by_request_takes_effect_after_the_current_batch(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(SLOW)
        begun = time.monotonic()
        with capture_logs() as log:
            async with under_way(server, database, NAMES) as task:
                await found(admin, BATCH_UNDER_WAY)
                await admin.execute("UPDATE migration_backfills SET paused = true")
                assert "backfill resume" in await found(admin, WAITING_FOR)
                paused = await admin.fetchrow(STATE)
                assert paused["rows_seen"] == paused["rows_changed"] == await admin.fetchval(RIGHT) == 1000
                await admin.execute("UPDATE migration_backfills SET paused = false")
                await task
        assert await admin.fetchval(RIGHT) == ROWS
        assert (await admin.fetchrow(STATE))["waiting_for"] is None
        seconds = [line[name] for line in log for name in ("paused_seconds", "seconds") if name in line]
        assert seconds == sorted(round(number, 1) for number in seconds)  # the pause is part of the whole
        assert 0 <= seconds[0] < seconds[1] < time.monotonic() - begun + 0.1

    async def test_is_no_time_without_progress_and_makes_it_no_slower(
        self, server: Server, database: str, admin: asyncpg.Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It waits for a row that was locked meanwhile as long as without the pause."""
        monkeypatch.setenv("MIGRATOR_RETRY_SECONDS", "10")
        other = await superuser(server, database)
        transaction = other.transaction()
        pauses = 0

        async def then() -> None:
            nonlocal pauses
            pauses += 1
            if pauses == 1:  # after the first batch
                await admin.execute("UPDATE migration_backfills SET paused = true")
            elif pauses == 2:  # by request, for which there are two pauses
                clock.now += 1000
            elif pauses == 3:
                await transaction.start()
                await other.execute("SELECT FROM animals WHERE id = 1500 FOR UPDATE")
                await admin.execute("UPDATE migration_backfills SET paused = false")
            elif pauses == 4:  # the second batch did not get its locks
                await transaction.rollback()

        clock.then = then
        with capture_logs() as log:
            await backfill(server, database, NAMES)
        await other.close()
        assert [line["event"] for line in log if line["log_level"] == "warning"] == [
            "backfill pauses",
            "a batch did not get its locks",
        ]
        assert (await admin.fetchrow(STATE))["rows_per_second"] > 1000
        assert await admin.fetchval(RIGHT) == ROWS

    async def test_by_request_outlives_the_run(self, server: Server, database: str, admin: asyncpg.Connection) -> None:
        await admin.execute(SLOW)
        async with under_way(server, database, NAMES):
            await found(admin, BATCH_UNDER_WAY)
            await admin.execute("UPDATE migration_backfills SET paused = true")
            await found(admin, WAITING_FOR)
        with capture_logs() as log:
            async with under_way(server, database, NAMES):
                await found(admin, f"{WAITING_FOR} AND pid IN (SELECT pid FROM pg_stat_activity)")
        assert [line["event"] for line in log] == ["backfill resumes", "backfill pauses"]
        assert await admin.fetchval(RIGHT) == 1000

    async def test_while_others_wait_for_locks(self, server: Server, database: str, admin: asyncpg.Connection) -> None:
        """Not for four: so many may wait by chance."""
        sessions = [await superuser(server, database) for _ in range(5)]
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("LOCK TABLE exhibits")
        waiting = [asyncio.create_task(session.execute("SELECT FROM exhibits")) for session in sessions[:4]]
        other = await superuser(server, database)
        await found(other, f"SELECT nullif(4, ({WAITING})) IS NULL")
        await backfill(server, database, NAMES)
        await other.execute("UPDATE animals SET common_name = NULL")
        waiting.append(asyncio.create_task(sessions[4].execute("SELECT FROM exhibits")))
        await found(other, f"SELECT nullif(5, ({WAITING})) IS NULL")
        with capture_logs() as log:
            async with under_way(server, database, NAMES) as task:
                assert await found(other, WAITING_FOR) == "5 sessions that wait for locks"
                assert await other.fetchval(RIGHT) == 0
                await transaction.commit()
                await task
        await asyncio.gather(*waiting)
        for session in (*sessions, other):
            await session.close()
        assert [line["event"] for line in log][:3] == ["backfill begins", "backfill pauses", "backfill goes on"]
        assert await admin.fetchval(RIGHT) == ROWS


class TestWhereItResumes:
    async def test_after_its_last_batch(self, server: Server, database: str, admin: asyncpg.Connection) -> None:
        await admin.execute(SLOW)
        async with under_way(server, database, NAMES):
            done = await found(admin, SEEN)
        await admin.execute("INSERT INTO animals (name) VALUES ('since')")
        await admin.execute("ALTER TABLE animals DISABLE TRIGGER slow")
        with capture_logs() as log:
            await backfill(server, database, NAMES)
        assert (log[0]["event"], log[0]["rows"]) == ("backfill resumes", done)
        state = await admin.fetchrow(STATE)
        assert state["rows_seen"] == state["rows_changed"] == await admin.fetchval(RIGHT) == ROWS

    async def test_at_the_start_if_its_definition_has_changed(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(SLOW)
        async with under_way(server, database, NAMES):
            await found(admin, SEEN)
        await admin.execute("ALTER TABLE animals DISABLE TRIGGER slow")
        await backfill(server, database, Backfill("animals", {"common_name": "upper(name)"}))
        assert await admin.fetchval("SELECT count(*) FROM animals WHERE common_name = upper(name)") == ROWS
        (state,) = await admin.fetch(STATE)
        assert state["rows_seen"] == ROWS

    async def test_at_the_start_if_it_was_finished(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await backfill(server, database, NAMES)
        await admin.execute("UPDATE animals SET common_name = NULL WHERE id > 2000")
        await backfill(server, database, NAMES)
        assert await admin.fetchval(RIGHT) == ROWS
        (state,) = await admin.fetch(STATE)
        assert (state["rows_seen"], state["rows_changed"]) == (ROWS, 500)

    async def test_at_its_end_if_its_revision_was_not_committed(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        """Otherwise a backfill that increments a column, for example, would do so twice."""
        await admin.execute("ALTER TABLE animals ADD COLUMN counted int DEFAULT 0")

        scans: list[str] = []

        def count(op: Any) -> None:
            op.backfill("animals", {"counted": "counted + 1"})
            scans.append(op.get_bind().exec_driver_sql("SHOW enable_seqscan").scalar())

        def stopped(op: Any) -> None:
            count(op)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await operate(server, database, stopped)
        await operate(server, database, count)
        assert await admin.fetchval("SELECT max(counted) FROM animals") == 1
        assert (await admin.fetchrow(STATE))["finished_at"]
        assert scans == ["on", "on"]  # only the batches do without

    async def test_independently_of_others_in_its_revision_and_in_other_revisions(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        halves = [Backfill("animals", {"common_name": "name"}, where=f"id % 2 = {half}") for half in (0, 1)]
        await backfill(server, database, *halves)
        await backfill(server, database, NAMES, revision="other")
        found = await admin.fetch("SELECT revision, rows_changed FROM migration_backfills ORDER BY id")
        assert [tuple(row) for row in found] == [("names", ROWS // 2), ("names", ROWS // 2), ("other", 0)]


async def test_of_two_runs_that_are_at_work_one_is_refused(server: Server, database: str) -> None:
    """Though the migration lock should see to that; its batch is written by neither twice."""

    def work(op: Any) -> None:
        batches = find_batches(op.get_bind(), NAMES)
        first, second = (begin(op.get_context(), "names", batches) for _ in range(2))
        for state in (first, second):
            batch = find_batch(op.get_bind(), batches, state)
            assert batch is not None
            write_batch(op.get_bind(), batches, state, *batch)

    with pytest.raises(LockLost, match="somebody else is at work on the backfill of animals; run this again"):
        await operate(server, database, work)


async def test_a_run_that_has_lost_the_migration_lock_writes_no_further_batch(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(SLOW)
    async with under_way(server, database, NAMES) as task:
        await found(admin, BATCH_UNDER_WAY)
        assert await admin.fetchval(LOCK_HOLDER)
        with pytest.raises(LockLost):
            await task
    assert await admin.fetchval(RIGHT) == 1000


async def test_the_api_can_read_its_progress_but_not_change_it(server: Server, database: str) -> None:
    await backfill(server, database, NAMES)
    api = await asyncpg.connect(server.url("zoo_api", database))
    assert await api.fetchval(SEEN) == ROWS
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.execute("UPDATE migration_backfills SET paused = true")
    await api.close()
