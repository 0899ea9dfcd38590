"""Runs whose migration lock is lost with its connection: nothing more is begun or committed."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import alembic
from tests.faults.checkout import checkout_with, lock, start
from tests.faults.test_kills import wait_until
from tests.processes.test_history import UP, history

END_LOCK = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'migrator lock' AND datname = current_database()"
)


async def test_a_run_that_loses_the_lock_commits_nothing_more(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    sleep = "op.execute('SELECT pg_sleep(1)')  # lint: allow wait-under-lock: so that the lock can be lost meanwhile"
    wait = lock("exhibits") + f"\n{sleep}\nop.execute('CREATE TABLE {{}} ()')"
    checkout = checkout_with(tmp_path, first=wait.format("first"), second=wait.format("second"))
    run = start(server.environment(database), cwd=checkout)
    await wait_until(
        admin, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1)' AND datname = current_database()"
    )
    assert await admin.fetchval(END_LOCK)
    _, log = await asyncio.to_thread(run.communicate)
    assert run.returncode == 5, log
    assert b"the migration lock was lost" in log.splitlines()[-1]
    assert await admin.fetchval("SELECT to_regclass('first')") is None
    assert await history(server, database) == UP


@pytest.mark.parametrize(
    "second", ["INDEX CONCURRENTLY IF NOT EXISTS late ON animals (name)", "TABLE IF NOT EXISTS late ()"]
)
async def test_a_run_that_loses_the_lock_between_two_revisions_does_not_begin_the_next_one(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection, second: str
) -> None:
    """Not even one that no transaction could roll back. The lock is lost when only the first one's COMMIT is left."""
    lose = (
        "from sqlalchemy import event\n"
        f"end = {END_LOCK.replace('(pid)', '(pid, 5000)')!r}\n"
        "bind = op.get_bind()\n"
        "if isinstance(bind, sa.Connection):  # not when it is linted\n"
        "    event.listen(bind, 'commit', lambda connection: connection.exec_driver_sql(end), once=True)"
    )
    alone = f"with op.get_context().autocommit_block():\n    op.execute('CREATE {second}')"
    checkout = checkout_with(tmp_path, first=lose, second=alone)
    done = await asyncio.to_thread(alembic, server.environment(database), "upgrade", "head", cwd=checkout)
    assert done.returncode == 5, done.stderr
    assert "the migration lock was lost" in done.stderr.splitlines()[-1]
    assert await admin.fetchval("SELECT to_regclass('late')") is None
    assert (await history(server, database))[-1] == ("first", "upgrade")
