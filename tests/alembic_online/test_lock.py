"""The migration lock: who holds it, how long it is waited for, and what is ended that an earlier run has left."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack, ExitStack
from types import SimpleNamespace

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from alembic_online.errors import LockLost, LocksNotObtained
from alembic_online.runs import lock as runs_lock
from alembic_online.runs.connection import LOOK
from alembic_online.runs.lock import LOCK_KEY, MigrationLock, find_holder, lock_key, migration_lock
from local.postgres import Server
from tests.alembic_online.sessions import engine_of, session, under_way, until
from tests.conftest import WAITING
from tests.each import each

TAKE = "SELECT pg_advisory_lock($1)"
HIGH, LOW = LOCK_KEY >> 32, int.from_bytes((LOCK_KEY & 0xFFFFFFFF).to_bytes(4), signed=True)
AT_WORK = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1) AND query LIKE 'SELECT pg_sleep%'"


def count(engine: AsyncEngine, word: str) -> list[str]:
    """The statements with this word, as they come."""
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        found.extend([statement] * (word in statement))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return found


async def hold(engine: AsyncEngine, timeout: float) -> int:
    """The process that has held the lock, once."""
    async with migration_lock(engine, timeout) as held:
        await held.connection.run_sync(held.require)
        return held.pid


@each("name", ["alembic_online", "a", "b", "c", "d", "a name of more than 64 characters" * 3])
def test_every_name_has_a_key_of_its_own_that_postgres_takes(name: str) -> None:
    assert -(2**63) <= lock_key(name) < 2**63
    assert lock_key(name) == lock_key(name) != lock_key(f"{name} rehearsal")


async def test_its_holder_is_the_session_that_has_this_very_lock_and_no_other_that_is_like_it(
    server: Server, database: str, worker_database: str, admin: asyncpg.Connection
) -> None:
    """Not one on another database, with a key of two halves, with half of the key, of a table; nor one that waits."""
    async with AsyncExitStack() as stack:
        holder, waiting, elsewhere, *others = [
            await stack.enter_async_context(session(server, to, name))
            for to, name in [(database, "the one"), (database, "waits"), (worker_database, "elsewhere")]
            + [(database, "another")] * 4
        ]
        await elsewhere.execute(TAKE, LOCK_KEY)
        await others[0].execute("SELECT pg_advisory_lock($1, $2)", HIGH, LOW)
        await others[1].execute(TAKE, LOCK_KEY ^ 1)
        await others[2].execute(TAKE, LOCK_KEY ^ (1 << 40))
        await others[3].execute("BEGIN; LOCK TABLE animals IN ACCESS SHARE MODE")
        async with engine_of(server, database, LOOK).connect() as connection:
            assert await find_holder(connection) is None
            await connection.rollback()
            await holder.execute(TAKE, LOCK_KEY)
            await stack.enter_async_context(under_way(waiting, f"SELECT pg_advisory_lock({LOCK_KEY})"))
            await until(admin, WAITING)
            found = await find_holder(connection)
            assert found is not None
            assert found.startswith(f"pid {holder.get_server_pid()} (the one, connected since ")
            for each in (holder, waiting, elsewhere, *others):
                held = MigrationLock(connection, each.get_server_pid())
                if each is holder:
                    await connection.run_sync(held.require)
                else:
                    with pytest.raises(LockLost, match="the migration lock was lost"):
                        await connection.run_sync(held.require)


async def test_a_run_waits_for_it_says_for_whom_and_goes_on_when_it_is_free(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    async with session(server, database, "the first") as first, session(server, database, "the second") as second:
        await first.execute(TAKE, LOCK_KEY)

        def said() -> list[str]:
            return [line["holder"].split(",")[0] for line in log if line["event"] == "waiting for another migrator"]

        async def until_said(number: int) -> None:
            async with asyncio.timeout(60):
                while len(said()) < number:
                    await asyncio.sleep(0.01)

        with capture_logs() as log:
            held = asyncio.create_task(hold(engine_of(server, database), 60))
            await until_said(1)
            await admin.execute("SELECT pg_sleep(0.6)")  # it asks again meanwhile, and has nothing new to say
            taking = asyncio.create_task(second.execute(TAKE, LOCK_KEY))
            await until(admin, WAITING)
            await first.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
            await taking
            await until_said(2)
            assert not held.done()
            await second.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
            pid = await held
        pids = [first.get_server_pid(), second.get_server_pid()]
        names = ["the first", "the second"]
        assert said() == [f"pid {holder} ({name}" for holder, name in zip(pids, names, strict=True)]
        assert {line["seconds"] for line in log} == {60}
        assert pid not in pids
        await until(admin, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)


async def test_a_run_that_does_not_get_it_in_time_asks_a_few_times_a_second_and_names_who_has_it(
    server: Server, database: str
) -> None:
    engine = engine_of(server, database)
    asked = count(engine, "pg_try_advisory_lock")
    async with session(server, database, "the holder") as holder:
        pid = holder.get_server_pid()
        await holder.execute(TAKE, LOCK_KEY)
        with pytest.raises(LocksNotObtained) as caught:
            async with migration_lock(engine, 0.6):
                pytest.fail("there is no lock to be had")
    said = str(caught.value)
    assert said.startswith(f"another migrator has been at work for longer than 0.6 s: pid {pid} (the holder, ")
    assert "Nothing was changed" in said
    assert len(asked) <= 5  # a busy machine asks less often


async def test_while_it_is_held_there_is_no_transaction_for_which_an_index_would_have_to_wait(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    async with migration_lock(engine_of(server, database), 0) as held:
        assert await admin.fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", held.pid) == "idle"


class TestLeftovers:
    """What a run that was killed has left at work in Postgres."""

    @pytest.fixture
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runs_lock, "LEFTOVER_SECONDS", 0.3)

    @pytest.mark.usefixtures("soon")
    async def test_are_ended_and_nobody_else(
        self, server: Server, database: str, worker_database: str, admin: asyncpg.Connection
    ) -> None:
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            left = [await enter(session(server, database, name)) for name in ("migrator", "billing: migrator")]
            others = [
                await enter(session(server, to, name, role))
                for to, name, role in [
                    (worker_database, "migrator", "zoo_migrator"),
                    (database, "migrator", "zoo_api"),
                    (database, "my migrator", "zoo_migrator"),
                    (database, "migrator look", "zoo_migrator"),
                    (database, "psql", "zoo_migrator"),
                    (database, "api", "zoo_api"),
                ]
            ]
            idle = await enter(session(server, database, "migrator"))
            sleeping = [await enter(under_way(each, "SELECT pg_sleep(600)")) for each in left + others]
            pids = [each.get_server_pid() for each in left + others]
            named = [f"pid {pid} (active, since " for pid in pids[: len(left)]]
            await until(admin, f"{AT_WORK} HAVING count(*) = {len(pids)}", pids)
            with capture_logs() as log:
                async with migration_lock(engine_of(server, database), 0):
                    ended = await asyncio.gather(*sleeping[:2], return_exceptions=True)
            assert all(isinstance(error, asyncpg.PostgresError) for error in ended)
            assert not any(each.done() for each in sleeping[2:])
            assert await idle.fetchval("SELECT 1") == 1
        waited, *said = [line for line in log if line["log_level"] == "warning"]
        assert waited["event"] == "waiting for what an earlier run left at work"
        assert {line["event"] for line in said} == {"ending what an earlier run left at work"}
        for found in (waited["sessions"], [line["session"] for line in said]):  # again, if one takes long to end
            assert {session.split("since")[0] + "since " for session in found} == {*named}

    async def test_that_do_not_end_are_ended_again_every_three_seconds(
        self, server: Server, database: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with AsyncExitStack() as stack:
            left = await stack.enter_async_context(session(server, database, "migrator"))
            await stack.enter_async_context(under_way(left, "SELECT pg_sleep(600)"))
            stopped = stack.enter_context(ExitStack())
            pid = left.get_server_pid()
            await until(admin, AT_WORK, [pid])
            stopped.callback(os.kill, pid, signal.SIGCONT)
            os.kill(pid, signal.SIGSTOP)
            now = 0.0

            async def sleep(seconds: float) -> None:
                nonlocal now
                now += seconds
                if now == 9:
                    stopped.close()
                    await until(admin, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", pid)

            clock = SimpleNamespace(time=lambda: now)
            monkeypatch.setattr(runs_lock, "asyncio", SimpleNamespace(get_running_loop=lambda: clock, sleep=sleep))
            with capture_logs() as log:
                await hold(engine_of(server, database), 0)
        assert now == 9
        assert [line["event"] for line in log] == [
            "waiting for what an earlier run left at work",
            *["ending what an earlier run left at work"] * 2,
        ]

    async def test_that_end_by_themselves_are_waited_for(
        self, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs_lock, "LEFTOVER_SECONDS", 60)
        engine = engine_of(server, database)
        asked = count(engine, "pg_stat_activity")
        async with session(server, database, "migrator") as left, asyncio.timeout(50):
            await left.execute("BEGIN")  # idle in a transaction: whoever began it has not gone on yet
            with capture_logs() as log:
                held = asyncio.create_task(hold(engine, 0))
                await asyncio.sleep(0.6)
                while not log:
                    await asyncio.sleep(0.01)
                assert not held.done()
                assert len(asked) <= 5  # a busy machine asks less often
                await left.execute("COMMIT")
                await held
            assert await left.fetchval("SELECT 1") == 1
        assert [line["event"] for line in log] == ["waiting for what an earlier run left at work"]
        assert "idle in transaction" in log[0]["sessions"][0]
