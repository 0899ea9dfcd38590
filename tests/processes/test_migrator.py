"""What the migrator says, and `python -m alembic_online`."""

import asyncio
import hashlib
import json
import os
import pty
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import EMPTY, ROOT, alembic, clone, drop, uncoloured
from tests.faults.checkout import checkout_with, start
from tests.processes.test_history import FILES, REVISIONS, UP, history, newest
from tests.python import HANGS, Python, run

CHANGED = ["ALTER TABLE animals ADD COLUMN wild boolean", "DROP INDEX ix_animals_name_id"]
DRIFT = ["not in the models: column animals.wild", "missing: index ix_animals_name_id on animals"]


def migrator(
    environment: dict[str, str], *arguments: str, stdin: str = "", cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return run(
        "alembic_online", *arguments, env=os.environ | {"LOG_FORMAT": "text"} | environment, cwd=cwd, stdin=stdin
    )


@dataclass
class Run:
    """What the run of a release on an empty database has said, and what those have who waited for it."""

    database: str
    began: datetime
    done: subprocess.CompletedProcess[str]
    too_early: subprocess.CompletedProcess[str]
    waited: tuple[int, str]


@pytest.fixture(scope="module")
async def first_run(
    server: Server, maintenance: asyncpg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Run]:
    """Of expand and contract revisions, in the phase of expand."""
    database = await clone(maintenance, EMPTY)
    checkout = checkout_with(
        tmp_path_factory.mktemp("first"),
        gone='op.drop_column("staff", "notes")',
        attributes={"gone": {"phase": "contract", "safe_from_release": "0.4.0"}},
    )
    environment = server.environment(database) | {"LOG_FORMAT": ""}
    wait = Python(
        "alembic_online", "wait", env=os.environ | environment, cwd=checkout, stdout=subprocess.PIPE, text=True
    )
    too_early = await asyncio.to_thread(migrator, environment, "wait", "--timeout", "0", cwd=checkout)
    assert wait.poll() is None
    began = datetime.now(UTC)
    settings = {"RELEASE": "1.2.3", "MIGRATOR_PHASE": "expand"}
    done = await asyncio.to_thread(alembic, environment | settings, "upgrade", "head", cwd=checkout)
    out, _ = await asyncio.to_thread(wait.communicate, None, HANGS)
    yield Run(database, began, done, too_early, (wait.returncode, out))
    await drop(maintenance, database)


class TestFirstRun:
    async def test_applies_all_in_any_phase_as_nobody_uses_the_database(self, server: Server, first_run: Run) -> None:
        assert first_run.done.returncode == 0, first_run.done.stderr
        assert await history(server, first_run.database) == [*UP, ("gone", "upgrade")]

    def test_has_a_log_in_json_where_nobody_reads_it(self, first_run: Run) -> None:
        lines = [json.loads(line) for line in first_run.done.stderr.splitlines()]
        about = [(line["event"], line["revision"]) for line in lines if "revision" in line]  # not of a backfill
        assert about == [(event, revision) for revision in [*REVISIONS, "gone"] for event in ("applying", "applied")]
        moves = [line for line in lines if "revision" in line]
        assert all(line["timestamp"] and line["level"] == "info" for line in moves)
        assert all(line["seconds"] >= 0 and line["attempts"] == 1 for line in moves if line["event"] == "applied")

    async def test_leaves_on_record_what_ran_and_who_ran_it(self, server: Server, first_run: Run) -> None:
        row = await newest(server, first_run.database, REVISIONS[-1])
        assert (row["attempts"], row["release"]) == (1, "1.2.3")
        assert row["applied_by"] == f"zoo_migrator@{socket.gethostname()}"
        assert first_run.began < row["started_at"] < row["applied_at"] < datetime.now(UTC)
        assert timedelta(0) < row["duration"] < row["applied_at"] - first_run.began
        assert row["waited"] < row["duration"]
        unwaived = [line for line in FILES[-1].read_bytes().splitlines(keepends=True) if b"# lint: allow" not in line]
        assert row["checksum"] == hashlib.sha256(b"".join(unwaived)).hexdigest()

    def test_is_waited_for(self, first_run: Run) -> None:
        assert first_run.too_early.returncode == 5
        assert REVISIONS[0] in first_run.too_early.stderr
        assert first_run.waited == (0, "the schema is at the newest revision\n")


class TestLog:
    def test_is_readable_on_a_terminal_with_the_same_events(
        self, server: Server, database: str, tmp_path: Path
    ) -> None:
        ours, theirs = pty.openpty()
        env = {**os.environ, **server.environment(database), "TERM": "xterm"}
        checkout = checkout_with(tmp_path, more="op.create_table('remarks', sa.Column('remark', sa.Text))")
        with Python("alembic", "upgrade", "head", env=env, cwd=checkout, stderr=theirs) as process:
            os.close(theirs)
        assert process.returncode == 0
        shown = ""
        with suppress(OSError):  # at the end
            while part := os.read(ours, 65536):
                shown += part.decode()
        os.close(ours)
        shown = uncoloured(shown)
        assert "applying revision=more direction=upgrade subject=more" in shown
        assert "applied revision=more" in shown

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
    _, log = run.communicate()
    assert run.returncode == 1
    assert b"statement timeout" in log.splitlines()[-1]
