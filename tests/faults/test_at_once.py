"""Migrators that run at the same moment, or in each other's way."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from local.postgres import DATABASE, Server, serve
from tests.conftest import EMPTY, FAST_AND_FORGETFUL, alembic, clone, drop, superuser
from tests.faults.checkout import checkout_with, concurrently, lock, start
from tests.faults.replication import copy_of
from tests.processes.test_history import UP, history
from tests.python import HANGS
from tests.rounds import rounds

ROUNDS, MIGRATORS = rounds(quick=(1, 4), full=(20, 8))
PARTS = rounds(quick=1, full=2)  # pytest-xdist gives them to different workers
GRANTED = (
    "SELECT count(*) FROM pg_locks WHERE relation = 'animals'::regclass AND mode = 'AccessExclusiveLock' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"  # clones have the same oids
)
VACUUMING = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'animals'::regclass"


@pytest.mark.parametrize("_part", range(PARTS))
async def test_several_at_once_on_an_empty_database_all_succeed_and_one_applies(
    server: Server, maintenance: asyncpg.Connection, tmp_path: Path, _part: int
) -> None:
    """One revision runs CONCURRENTLY, which would wait for any snapshot of the migrators that wait."""
    checkout = checkout_with(
        tmp_path, table="op.create_table('t', sa.Column('c', sa.Text))", index=concurrently("ix_t", "t", "c")
    )
    for _ in range(ROUNDS // PARTS):
        database = await clone(maintenance, EMPTY)
        environment = server.environment(database)
        runs = [start(environment, cwd=checkout) for _ in range(MIGRATORS)]
        logs = [(await asyncio.to_thread(run.communicate))[1].decode() for run in runs]
        assert [run.returncode for run in runs] == [0] * MIGRATORS, logs
        assert sorted("applied" in log for log in logs) == [False] * (MIGRATORS - 1) + [True], logs
        assert sum("nothing to do" in log for log in logs) == MIGRATORS - 1
        assert await history(server, database) == [*UP, ("table", "upgrade"), ("index", "upgrade")]
        await drop(maintenance, database)


async def test_a_revision_is_tried_again_after_a_deadlock(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    checkout = checkout_with(tmp_path, both=f"{lock('animals')}\n{lock('exhibits')}")
    # So that Postgres reports the deadlock to the migrator, before its lock time-out.
    await admin.execute(f"ALTER ROLE zoo_migrator IN DATABASE {database} SET deadlock_timeout = '50ms'")
    other = await superuser(server, database)
    await other.execute("SET deadlock_timeout = '10s'")
    transaction = other.transaction()
    await transaction.start()
    await other.execute("LOCK TABLE exhibits")
    run = start(server.environment(database), cwd=checkout)
    while not await admin.fetchval(GRANTED):
        await asyncio.sleep(0.005)
    await other.execute("LOCK TABLE animals")  # granted once the migrator has released its lock
    await transaction.commit()
    await other.close()
    _, log = await asyncio.to_thread(run.communicate)
    assert run.returncode == 0, log
    assert b"did not get its locks" in log
    assert (await history(server, database))[-1] == ("both", "upgrade")


async def test_it_waits_for_autovacuum_until_that_releases_its_lock(origin: Path, tmp_path: Path) -> None:
    """That takes deadlock_timeout, 1 s, which is more than the usual 500 ms."""
    (tmp_path / "checkout").mkdir()
    checkout = checkout_with(tmp_path / "checkout", column="op.execute('ALTER TABLE animals ADD COLUMN wild boolean')")
    options = {**FAST_AND_FORGETFUL, "autovacuum": "on", "autovacuum_naptime": "1s"}
    copy_of(origin, tmp_path / "data")
    with serve(tmp_path / "data", options, DATABASE) as server:
        admin = await superuser(server, DATABASE)
        await admin.execute(
            "ALTER TABLE animals SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,"
            " autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)"
        )
        await admin.execute("INSERT INTO animals (name) SELECT 'A' || n FROM generate_series(1, 10000) n")
        await admin.execute("DELETE FROM animals")
        async with asyncio.timeout(HANGS):
            while not await admin.fetchval(VACUUMING):
                await asyncio.sleep(0.05)
        done = await asyncio.to_thread(alembic, server.environment(), "upgrade", "head", cwd=checkout)
        assert done.returncode == 0, done.stderr
        assert "autovacuum" in done.stderr
        assert await admin.fetchval("SELECT version_num FROM alembic_version") == "column"
        await admin.close()
