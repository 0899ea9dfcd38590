"""Runs of the migrator as people start them: processes of their own, several at once, in each other's way."""

import os
import subprocess
import sys
from pathlib import Path

import asyncpg

from local.postgres import Server
from migrator.lock import LOCK_KEY
from tests.conftest import ROOT, alembic, superuser
from tests.docs.documents import copy_checkout

FIRST = "f0d7ee4c6005"


async def history(server: Server, database: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(server.url("zoo_api", database))
    rows = await connection.fetch("SELECT revision, direction FROM migration_history ORDER BY id")
    await connection.close()
    return [(row["revision"], row["direction"]) for row in rows]


async def test_of_many_at_once_one_applies_and_all_succeed(server: Server, empty_database: str) -> None:
    environment = os.environ | server.environment(empty_database)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    runs = [subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    logs = [run.communicate(timeout=60)[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, logs
    assert sum("Running upgrade" in log for log in logs) == 1
    assert await history(server, empty_database) == [(FIRST, "upgrade")]


async def test_a_run_that_has_nothing_to_do_changes_nothing(server: Server, database: str) -> None:
    before = await history(server, database)
    done = alembic(server.environment(database), "upgrade", "head")
    assert done.returncode == 0
    assert "Running" not in done.stderr
    assert await history(server, database) == before


async def test_the_way_down_and_up_again_is_on_record(server: Server, database: str) -> None:
    environment = server.environment(database)
    assert alembic(environment, "downgrade", "base").returncode == 0
    assert alembic(environment, "upgrade", "head").returncode == 0
    assert await history(server, database) == [(FIRST, "upgrade"), (FIRST, "downgrade"), (FIRST, "upgrade")]


async def test_a_stamp_is_on_record(server: Server, empty_database: str) -> None:
    environment = server.environment(empty_database)
    assert alembic(environment, "stamp", "head").returncode == 0
    assert alembic(environment, "stamp", "base").returncode == 0
    assert await history(server, empty_database) == [(FIRST, "upgrade"), (FIRST, "downgrade")]


async def test_a_branch_that_is_stamped_away_leaves_what_others_build_on(
    server: Server, empty_database: str, tmp_path: Path
) -> None:
    checkout = copy_checkout(tmp_path)
    for name in ("left", "right"):
        (checkout / "migrator" / "versions" / f"2099_01_01_0000-{name}.py").write_text(
            f'revision = "{name}"\ndown_revision = "{FIRST}"\ndef upgrade(): pass\ndef downgrade(): pass\n'
        )
    environment = server.environment(empty_database)
    assert alembic(environment, "upgrade", "heads", cwd=checkout).returncode == 0
    assert alembic(environment, "stamp", "left@base", cwd=checkout).returncode == 0
    rows = await history(server, empty_database)
    assert rows[0] == (FIRST, "upgrade")
    assert sorted(rows[1:]) == [("left", "downgrade"), ("left", "upgrade"), ("right", "upgrade")]


async def test_a_failed_revision_leaves_nothing_behind(server: Server, empty_database: str) -> None:
    admin = await superuser(server, empty_database)
    await admin.execute("CREATE TABLE staff ()")  # in the way of the revision's last table
    done = alembic(server.environment(empty_database), "upgrade", "head")
    assert done.returncode != 0
    assert 'relation "staff" already exists' in done.stderr
    tables = await admin.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    assert {row["relname"] for row in tables} <= {"staff", "alembic_version"}
    await admin.close()


async def test_who_waits_says_for_whom_and_gives_up_in_time(server: Server, database: str) -> None:
    holder = await superuser(server, database)
    await holder.execute("SET application_name = 'somebody else'")
    await holder.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    environment = server.environment(database) | {"MIGRATOR_LOCK_TIMEOUT": "0.5"}
    refused = alembic(environment, "upgrade", "head")
    looked = alembic(environment, "current")
    await holder.close()
    assert refused.returncode != 0
    assert "waiting for another migrator: pid" in refused.stderr
    assert "somebody else" in refused.stderr
    assert "Nothing was changed" in refused.stderr
    assert looked.returncode == 0  # who only looks does not wait
    assert FIRST in looked.stdout


async def test_a_table_in_use_is_waited_for_a_bounded_time(server: Server, database: str) -> None:
    reader = await superuser(server, database)
    async with reader.transaction():
        await reader.execute("SELECT * FROM animals")
        done = alembic(server.environment(database), "downgrade", "base")
    await reader.close()
    assert done.returncode != 0
    assert "lock timeout" in done.stderr
    assert await history(server, database) == [(FIRST, "upgrade")]


def test_settings_that_cannot_be_used_are_one_line() -> None:
    done = alembic({"MIGRATION_DATABASE_URL": "mysql://nobody@nowhere/nothing"}, "upgrade", "head")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "postgresql://USER@HOST:PORT/DATABASE" in done.stderr + done.stdout
