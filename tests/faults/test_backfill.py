"""Backfills that are killed, and backfills whose replicas don't keep up."""

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from alembic_online.backfill import Backfill
from alembic_online.backfill.load import Load
from local.postgres import DATABASE, SUPERUSER, Server, as_caller, binaries, serve
from tests.alembic_online.backfilling import STATE, backfill, found, make_table, under_way
from tests.alembic_online.sessions import look
from tests.conftest import FAST_AND_FORGETFUL, superuser
from tests.faults.checkout import checkout_with, start
from tests.faults.test_kills import fill, wait_until
from tests.processes.test_history import history
from tests.rounds import rounds

# A tenth of the rows takes so many seconds each, so that it takes long enough to be killed as often.
ROWS, SECONDS_OF_SLOW, KILLS = rounds(quick=(12_000, 0.002, 2), full=(120_000, 0.001, 10))
COLUMN = "op.add_column('animals', sa.Column('common_name', sa.Text))"
NAMES = "op.backfill('animals', {'common_name': 'name'})"
# Counts attempts, too, because a sequence is not rolled back.
COUNT = f"""
CREATE SEQUENCE tries;
CREATE FUNCTION count_try() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('tries') % 10 = 0 AND current_setting('zoo.slow', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_sleep({SECONDS_OF_SLOW});
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER count_try BEFORE UPDATE ON animals FOR EACH ROW EXECUTE FUNCTION count_try()
"""
TRIES = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries"
WORKING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'migrator%'"
BATCH_UNDER_WAY = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'migrator'"
    " AND query LIKE 'WITH changed%' AND state = 'active'"
)
WAITING_FOR = "SELECT waiting_for FROM migration_backfills WHERE waiting_for IS NOT NULL"


async def test_killed_at_any_moment_it_resumes_and_repeats_at_most_one_batch(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    checkout = checkout_with(tmp_path, column=COLUMN, names=NAMES)
    await fill(admin, ROWS)
    await admin.execute(COUNT)
    lost = 0
    for killed in range(KILLS):
        run = start(server.environment(database), cwd=checkout)
        await wait_until(admin, BATCH_UNDER_WAY)
        if killed == KILLS - 1:  # on a busy machine, all may have been killed in their first batch
            await wait_until(admin, "SELECT rows_changed > 0 FROM migration_backfills")
        await asyncio.sleep(random.uniform(0, 0.5))
        run.kill()
        _, log = await asyncio.to_thread(run.communicate)
        assert run.returncode == -signal.SIGKILL, log
        await wait_until(admin, f"SELECT NOT EXISTS ({WORKING})")
        state = await admin.fetchrow(STATE)
        assert state["finished_at"] is None
        assert await admin.fetchval("SELECT count(common_name) FROM animals") == state["rows_changed"]
        last = int(state["cursor"][0]) if state["cursor"] else 0
        assert await admin.fetchval("SELECT count(common_name) FROM animals WHERE id <= $1", last) == last
        assert last == state["rows_seen"] == state["rows_changed"]
        lost_before, lost = lost, await admin.fetchval(TRIES) - state["rows_changed"]
        assert lost - lost_before <= 2 * state["batch_size"]  # a batch is at most twice as large as the one before
    await admin.execute(f"ALTER DATABASE {database} SET zoo.slow = 'off'")
    run = start(server.environment(database), cwd=checkout)
    _, log = await asyncio.to_thread(run.communicate)
    assert run.returncode == 0, log
    assert b"backfill resumes" in log
    state = await admin.fetchrow(STATE)
    assert state["rows_seen"] == state["rows_changed"] == ROWS
    assert await admin.fetchval("SELECT count(*) FROM animals WHERE common_name = name") == ROWS
    assert await admin.fetchval(TRIES) == ROWS + lost
    assert (await history(server, database))[-1] == ("names", "upgrade")


@dataclass(frozen=True)
class Pair:
    """A server, and a replica that follows it."""

    primary: Server
    replica: Server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as servers:
        primary = servers.enter_context(serve(folder / "primary", FAST_AND_FORGETFUL, DATABASE))
        copy: list[str | Path] = [
            "--pgdata",
            folder / "replica",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--create-slot",
            "--slot=replica",
            "--no-sync",
        ]
        subprocess.run([*as_caller(), binaries() / "pg_basebackup", *connect(primary), *copy], check=True)
        yield Pair(primary, servers.enter_context(serve(folder / "replica", FAST_AND_FORGETFUL)))


def connect(server: Server) -> list[str]:
    return [f"--host={server.socket_dir}", f"--username={SUPERUSER}"]


@pytest.fixture
async def admin_of_pair(pair: Pair) -> AsyncIterator[asyncpg.Connection]:
    admin = await superuser(pair.primary, DATABASE)
    await admin.execute("DROP TABLE IF EXISTS t, migration_backfills")
    await make_table(admin, "id int PRIMARY KEY, value text STORAGE EXTERNAL, copy text STORAGE EXTERNAL")
    yield admin
    await admin.close()


# A replica that misses a thousand of these rows is 64 MB behind.
FAT_ROWS = rounds(quick=1500, full=2500)
FAT = f"INSERT INTO t SELECT n, repeat('x', 70000) FROM generate_series(1, {FAT_ROWS}) n"
COPY = Backfill("t", {"copy": "value || 'x'"})
REPLAYED = "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication"


async def test_it_waits_for_a_replica_that_is_far_behind(pair: Pair, admin_of_pair: asyncpg.Connection) -> None:
    await admin_of_pair.execute(FAT)
    await found(admin_of_pair, REPLAYED)
    replica = await superuser(pair.replica, DATABASE)
    await replica.execute("SELECT pg_wal_replay_pause()")
    async with under_way(pair.primary, DATABASE, COPY) as task:
        reason = await found(admin_of_pair, WAITING_FOR)
        assert reason.startswith("replicas: walreceiver (")
        paused = await admin_of_pair.fetchrow(STATE)
        assert 0 < paused["rows_seen"] < FAT_ROWS
        await replica.execute("SELECT pg_wal_replay_resume()")
        await task
    assert (await admin_of_pair.fetchrow(STATE))["rows_changed"] == FAT_ROWS
    await found(replica, f"SELECT count(*) = {FAT_ROWS} FROM t WHERE copy = value || 'x'")
    await replica.close()


async def test_a_replica_is_far_behind_if_it_misses_64_mb(pair: Pair, admin_of_pair: asyncpg.Connection) -> None:
    await backfill(pair.primary, DATABASE, COPY)  # which makes the table of its progress
    await found(admin_of_pair, REPLAYED)
    replica = await superuser(pair.replica, DATABASE)
    await replica.execute("SELECT pg_wal_replay_pause()")
    await found(replica, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
    reasons = []
    for megabytes in (62, 4):
        await admin_of_pair.execute(f"SELECT pg_logical_emit_message(false, '', repeat('x', {megabytes << 20}))")
        await found(admin_of_pair, "SELECT pg_current_wal_lsn() = pg_current_wal_insert_lsn()")  # all of it is written
        reasons.append(await look(pair.primary, DATABASE, lambda connection: Load().look(connection, 1)))
    await replica.execute("SELECT pg_wal_replay_resume()")
    await replica.close()
    assert reasons == [None, ("replicas", "replicas: walreceiver (66 MB behind)")]


async def test_it_waits_for_a_replica_that_has_replayed_nothing_for_ten_seconds(
    pair: Pair, admin_of_pair: asyncpg.Connection
) -> None:
    """However little it is behind, and though Postgres reports no lag for it."""
    await admin_of_pair.execute("INSERT INTO t SELECT n, 'short' FROM generate_series(1, 50000) n")
    await admin_of_pair.execute(COUNT.replace("animals", "t").replace("% 10", "% 1"))
    await found(admin_of_pair, REPLAYED)
    replica = await superuser(pair.replica, DATABASE)
    await replica.execute("SELECT pg_wal_replay_pause()")
    async with under_way(pair.primary, DATABASE, COPY):
        reason = await found(admin_of_pair, WAITING_FOR)
        assert "kB behind" in reason
        assert (await admin_of_pair.fetchrow(STATE))["rows_seen"] > 0
        await replica.execute("SELECT pg_wal_replay_resume()")
        await found(admin_of_pair, "SELECT waiting_for IS NULL FROM migration_backfills")
    await replica.close()


async def test_a_client_that_only_copies_the_wal_is_no_replica(
    pair: Pair, admin_of_pair: asyncpg.Connection, tmp_path: Path
) -> None:
    await backfill(pair.primary, DATABASE, COPY)  # which makes the table of its progress
    command: list[str | Path] = [
        *as_caller(),
        binaries() / "pg_receivewal",
        *connect(pair.primary),
        f"--directory={tmp_path}",
    ]
    copying = subprocess.Popen(command, env=os.environ | {"PGOPTIONS": "-c wal_sender_timeout=0"})
    try:
        await found(admin_of_pair, "SELECT pid FROM pg_stat_replication WHERE application_name = 'pg_receivewal'")
        copying.send_signal(signal.SIGSTOP)
        await admin_of_pair.execute(f"SELECT pg_logical_emit_message(false, '', repeat('x', {80 << 20}))")
        await found(admin_of_pair, "SELECT pg_current_wal_lsn() = pg_current_wal_insert_lsn()")  # all of it is written
        await found(admin_of_pair, REPLAYED)
        assert await look(pair.primary, DATABASE, lambda connection: Load().look(connection, 1)) is None
    finally:
        copying.kill()
        copying.wait()
