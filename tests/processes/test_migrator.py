"""What the migrator says, and `python -m alembic_online`."""

import asyncio
import json
import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import ROOT, alembic, uncoloured
from tests.faults.checkout import checkout_with, start
from tests.processes.test_history import REVISIONS
from tests.python import Python, run

CHANGED = ["ALTER TABLE animals ADD COLUMN wild boolean", "DROP INDEX ix_animals_name_id"]
DRIFT = ["not in the models: column animals.wild", "missing: index ix_animals_name_id on animals"]


def migrator(
    environment: dict[str, str], *arguments: str, stdin: str = "", cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return run(
        "alembic_online", *arguments, env=os.environ | {"LOG_FORMAT": "text"} | environment, cwd=cwd, stdin=stdin
    )


class TestLog:
    def test_is_json_where_nobody_reads_it(self, server: Server, empty_database: str) -> None:
        done = alembic({**server.environment(empty_database), "LOG_FORMAT": ""}, "upgrade", "head")
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        about = [(line["event"], line["revision"]) for line in lines if "revision" in line]  # not of a backfill
        assert about == [(event, revision) for revision in REVISIONS for event in ("applying", "applied")]
        assert all(line["timestamp"] and line["level"] == "info" for line in lines)
        assert all(line["seconds"] >= 0 and line["attempts"] == 1 for line in lines if line["event"] == "applied")

    def test_is_readable_on_a_terminal_with_the_same_events(self, server: Server, empty_database: str) -> None:
        ours, theirs = pty.openpty()
        env = {**os.environ, **server.environment(empty_database), "TERM": "xterm"}
        with Python("alembic", "upgrade", "head", env=env, stderr=theirs) as process:
            os.close(theirs)
        assert process.returncode == 0
        shown = ""
        with suppress(OSError):  # at the end
            while part := os.read(ours, 65536):
                shown += part.decode()
        os.close(ours)
        shown = uncoloured(shown)
        assert f"applying revision={REVISIONS[0]} direction=upgrade subject='exhibits, animals, staff'" in shown
        assert f"applied revision={REVISIONS[-1]}" in shown

    @pytest.mark.parametrize(
        ("environment", "arguments"), [({"MIGRATOR_DEBUG": "1"}, []), ({}, ["--raiseerr"])], ids=["setting", "option"]
    )
    def test_has_the_traceback_of_a_failure_when_asked(
        self, server: Server, database: str, environment: dict[str, str], arguments: list[str]
    ) -> None:
        url = {"MIGRATION_DATABASE_URL": server.url("zoo_api", database)}
        done = alembic({**url, **environment}, *arguments, "upgrade", "head")
        assert done.returncode == 3
        assert "Traceback" in done.stderr

    def test_names_a_revision_that_there_is_not(self, server: Server, database: str) -> None:
        done = alembic(server.environment(database), "upgrade", "nonsense")
        assert done.returncode == 3
        assert "nonsense" in done.stderr.splitlines()[-1]


class TestDrift:
    @pytest.fixture(autouse=True)
    async def changed(self, admin: asyncpg.Connection) -> None:
        for statement in CHANGED:
            await admin.execute(statement)

    def test_is_a_warning(self, server: Server, database: str) -> None:
        done = alembic({**server.environment(database), "LOG_FORMAT": "json"}, "upgrade", "head")
        assert done.returncode == 0
        warned = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "warning"]
        assert [(line["event"], line["changes"]) for line in warned] == [("the schema is not as it should be", DRIFT)]

    def test_fails_where_it_shall(self, server: Server, database: str) -> None:
        done = alembic({**server.environment(database), "MIGRATOR_DRIFT": "fail"}, "upgrade", "head")
        assert done.returncode == 6
        assert all(change in done.stderr.splitlines()[-1] for change in DRIFT)


class TestStatus:
    def status(self, server: Server, database: str) -> dict[str, Any]:
        done = migrator(server.environment(database), "status", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def test_of_a_database_that_is_in_order(self, server: Server, database: str) -> None:
        found = self.status(server, database)
        assert [move["revision"] for move in found.pop("history")] == REVISIONS[::-1]
        assert found == {
            "current": REVISIONS[-1:],
            "head": REVISIONS[-1:],
            "pending": [],
            "contract": {},
            "floor": None,
            "releases": {},
            "workers": {},
            "lock_holder": None,
            "invalid_indexes": [],
            "constraints_not_validated": [],
            "drift": [],
            "drift_not_compared": [],
        }

    def test_of_an_empty_database(self, server: Server, empty_database: str) -> None:
        found = self.status(server, empty_database)
        assert (found["current"], found["pending"], found["history"]) == ([], REVISIONS, [])

    async def test_names_all_that_is_not_in_order(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("ALTER TABLE animals ADD CONSTRAINT named CHECK (name <> 'x') NOT VALID")
        await admin.execute("CREATE INDEX ix_broken ON animals (name)")
        await admin.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_broken'::regclass")
        found = self.status(server, database)
        assert found["constraints_not_validated"] == ["named on animals"]
        assert found["invalid_indexes"] == ["ix_broken"]
        assert found["drift"] == ["not in the models: check constraint named on animals"]
        shown = migrator(server.environment(database), "status").stdout
        assert "named on animals" in shown
        assert REVISIONS[-1] in shown

    async def test_while_somebody_holds_a_table_it_says_all_else(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        async with admin.transaction():
            await admin.execute("LOCK TABLE animals")
            found = await asyncio.to_thread(self.status, server, database)
        assert found["drift_not_compared"] == ["canceling statement due to lock timeout"]
        assert (found["current"], found["invalid_indexes"]) == (REVISIONS[-1:], [])

    def test_of_a_database_that_is_away(self) -> None:
        away = {"MIGRATION_DATABASE_URL": "postgresql://zoo_migrator@127.0.0.1:1/zoo", "MIGRATOR_WAIT_SECONDS": "0"}
        done = migrator(away, "status")
        assert done.returncode == 4
        assert "Traceback" not in done.stderr
        assert "Traceback" in migrator(away, "--debug", "status").stderr


class TestWait:
    def test_returns_when_the_schema_is_there(self, server: Server, empty_database: str) -> None:
        environment = server.environment(empty_database)
        waiting = Python("alembic_online", "wait", env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        early = migrator(environment, "wait", "--timeout", "0")
        assert early.returncode == 5
        assert REVISIONS[0] in early.stderr
        assert waiting.poll() is None
        assert alembic(environment, "upgrade", "head").returncode == 0
        out, _ = waiting.communicate(timeout=30)
        assert (waiting.returncode, out) == (0, "the schema is at the newest revision\n")

    async def test_returns_at_once_where_the_database_is_ahead(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("INSERT INTO migration_history (revision, direction) VALUES ('newer', 'upgrade')")
        await admin.execute("UPDATE alembic_version SET version_num = 'newer'")
        assert migrator(server.environment(database), "wait", "--timeout", "0").returncode == 0


class TestRepair:
    async def test_makes_invalid_indexes_valid_after_asking(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        for index in ("ix_broken", "ix_broken_ccnew", '"Odd name_ccold1"'):
            await admin.execute(f"CREATE INDEX {index} ON animals (name)")
        broken = "UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text ~ 'broken|Odd'"
        await admin.execute(broken)
        environment = server.environment(database)
        refused = migrator(environment, "repair", stdin="n\n")
        assert refused.returncode == 1
        assert "REINDEX INDEX CONCURRENTLY ix_broken\n" in refused.stdout
        done = migrator(environment, "repair", "--yes")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("3 repaired\n")
        left = (
            "SELECT array_agg(indexrelid::regclass::text) FROM pg_index WHERE indexrelid::regclass::text ~ 'broken|Odd'"
        )
        assert await admin.fetchval(left) == ["ix_broken"]
        assert await admin.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_broken'::regclass")
        assert migrator(environment, "repair").stdout == "nothing to repair: no index is invalid\n"


def test_a_statement_that_takes_too_long_is_ended_and_its_revision_rolled_back(
    server: Server, database: str, tmp_path: Path
) -> None:
    checkout = checkout_with(tmp_path, slow="op.execute('SELECT pg_sleep(30)')")
    run = start({**server.environment(database), "MIGRATOR_STATEMENT_TIMEOUT": "0.2"}, cwd=checkout)
    _, log = run.communicate(timeout=20)
    assert run.returncode == 1
    assert b"statement timeout" in log.splitlines()[-1]
