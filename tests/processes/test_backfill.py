"""`python -m alembic_online backfill`, while a migrator is at work and afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from local.postgres import Server
from tests.alembic_online.backfilling import found
from tests.conftest import alembic
from tests.faults.checkout import checkout_with, start
from tests.processes.test_history import history
from tests.processes.test_migrator import migrator
from tests.processes.test_schema import psql
from tests.python import HANGS

if TYPE_CHECKING:
    from subprocess import Popen

ROWS = 3000
COLUMN = "op.add_column('animals', sa.Column('common_name', sa.Text))"
NAMES = "op.backfill('animals', {'common_name': 'name'})"
RIGHT = "SELECT count(*) FROM animals WHERE common_name = name"
WORKING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'migrator'"
# The backfill begins with a request to pause, so that a test finds it before its first batch.
PAUSED = """
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.paused := true; RETURN NEW; END $$;
CREATE FUNCTION pause_all() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.migration_backfills') THEN
        CREATE TRIGGER pause BEFORE INSERT ON migration_backfills FOR EACH ROW EXECUTE FUNCTION pause();
    END IF;
END $$;
CREATE EVENT TRIGGER pause ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION pause_all()
"""


def backfill(server: Server, database: str, *arguments: str) -> Any:
    return migrator(server.environment(database), "backfill", *arguments)


def reports(server: Server, database: str) -> list[dict[str, Any]]:
    done = backfill(server, database, "status", "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return checkout_with(tmp_path, column=COLUMN, names=NAMES)


@pytest.fixture(autouse=True)
async def animals(admin: asyncpg.Connection) -> None:
    await admin.execute("INSERT INTO animals (name) SELECT md5(n::text) FROM generate_series(1, $1) n", ROWS)


@pytest.fixture
async def held_up(
    server: Server, database: str, checkout: Path, admin: asyncpg.Connection
) -> AsyncIterator["Popen[bytes]"]:
    """A migrator whose backfill pauses before its first batch."""
    await admin.execute(PAUSED)
    with start(server.environment(database), cwd=checkout) as run:
        await found(admin, "SELECT waiting_for FROM migration_backfills")
        yield run
        run.kill()


async def test_a_backfill_is_held_up_until_it_is_resumed(
    server: Server, database: str, admin: asyncpg.Connection, held_up: "Popen[bytes]"
) -> None:
    (report,) = await asyncio.to_thread(reports, server, database)
    assert (report["revision"], report["table"], report["state"], report["rows"]) == ("names", "animals", "paused", 0)
    assert "resume" in report["waiting_for"]
    shown = await asyncio.to_thread(backfill, server, database, "status")
    assert "paused" in shown.stdout
    again = await asyncio.to_thread(backfill, server, database, "pause")
    assert (again.returncode, again.stdout.split(":")[0]) == (0, "animals")
    resumed = await asyncio.to_thread(backfill, server, database, "resume")
    assert (resumed.returncode, resumed.stdout) == (0, "animals: resumed\n")
    _, log = await asyncio.to_thread(held_up.communicate)
    assert held_up.returncode == 0, log
    for event in (
        b"backfill begins table=animals",
        b"backfill pauses table=animals",
        b"backfill goes on",
        b"backfilled",
    ):
        assert event in log
    assert await admin.fetchval(RIGHT) == ROWS
    (report,) = await asyncio.to_thread(reports, server, database)
    figures = {name: report[name] for name in ("state", "rows", "changed", "percent", "paused", "waiting_for")}
    assert figures == {
        "state": "finished", "rows": ROWS, "changed": ROWS, "percent": 100, "paused": False, "waiting_for": None,
    }  # fmt: skip
    assert b"migration_backfills" not in log  # as drift


async def test_a_backfill_that_was_killed_while_it_was_held_up_waits_again_until_it_is_resumed(
    server: Server, database: str, checkout: Path, admin: asyncpg.Connection, held_up: "Popen[bytes]"
) -> None:
    held_up.kill()
    await found(admin, f"SELECT NOT EXISTS ({WORKING})")
    (report,) = await asyncio.to_thread(reports, server, database)
    assert (report["state"], report["paused"], report["waiting_for"]) == ("interrupted", True, None)
    run = start(server.environment(database), cwd=checkout)
    await found(admin, f"SELECT waiting_for FROM migration_backfills WHERE pid IN ({WORKING})")
    assert (await asyncio.to_thread(backfill, server, database, "resume")).returncode == 0
    _, log = await asyncio.to_thread(run.communicate)
    assert run.returncode == 0, log
    assert b"backfill pauses" in log
    assert await admin.fetchval(RIGHT) == ROWS


async def test_who_stops_a_migrator_whose_backfill_is_held_up_does_not_wait(held_up: "Popen[bytes]") -> None:
    held_up.terminate()
    assert held_up.wait(timeout=HANGS) == 143


def test_where_nothing_is_under_way(server: Server, database: str) -> None:
    for command in ("pause", "resume"):
        done = backfill(server, database, command)
        assert (done.returncode, "no backfill is" in done.stderr) == (3, True), command
    assert backfill(server, database, "status").stdout == "no backfill has begun yet\n"
    assert reports(server, database) == []


async def test_sql_for_later_does_the_same(
    server: Server, database: str, checkout: Path, admin: asyncpg.Connection
) -> None:
    printed = alembic(server.environment(database), "upgrade", "head", "--sql", cwd=checkout)
    assert printed.returncode == 0, printed.stderr
    start_of_ours = printed.stdout.index("ALTER TABLE animals ADD COLUMN common_name")
    script = printed.stdout[printed.stdout.rindex("BEGIN;", 0, start_of_ours) :]
    await asyncio.to_thread(psql, server.url("zoo_migrator", database), script)
    assert await admin.fetchval(RIGHT) == ROWS
    assert (await history(server, database))[-1] == ("names", "upgrade")
