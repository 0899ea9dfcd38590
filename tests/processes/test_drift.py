"""Drift in runs: it never fails one, and knows what a run itself has changed."""

import json
import os
from pathlib import Path
from typing import Any

import asyncpg

from local.postgres import Server
from tests.conftest import alembic
from tests.faults.checkout import checkout_with
from tests.python import run

BY_HAND = "CREATE STATISTICS by_hand ON name, species FROM animals"
ADDED = "added by hand: statistics by_hand"
STATISTICS = "op.execute('CREATE STATISTICS {} ON id, name FROM animals')"
MODEL = """
import sqlalchemy as sa
column = sa.Column("name", sa.Text, server_default=sa.text("die()"))
Base.metadata.tables["animals"].append_column(column, replace_existing=True)
"""
DIE = """
CREATE FUNCTION die() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT pg_terminate_backend(pg_backend_pid())::text'
"""


def upgrade(server: Server, database: str, cwd: Path, code: int = 0, **environment: str) -> list[dict[str, Any]]:
    """The warnings of `alembic upgrade head`."""
    done = alembic({**server.environment(database), "LOG_FORMAT": "json", **environment}, "upgrade", "head", cwd=cwd)
    assert done.returncode == code, done.stderr
    return [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "warning"]


def drift(warnings: list[dict[str, Any]]) -> list[str]:
    (found,) = [line.get("changes") for line in warnings] or [[]]
    assert found is not None, warnings
    return list(found)


class TestByHand:
    async def test_it_stays_drift_after_further_revisions_until_it_is_stamped(
        self, server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
    ) -> None:
        await admin.execute(BY_HAND)
        checkout = checkout_with(tmp_path, more=STATISTICS.format("made"))
        assert drift(upgrade(server, database, checkout)) == [ADDED]
        assert drift(upgrade(server, database, checkout, code=6, MIGRATOR_DRIFT="fail")) == [ADDED]
        assert alembic(server.environment(database), "stamp", "head", cwd=checkout).returncode == 0
        assert upgrade(server, database, checkout, MIGRATOR_DRIFT="fail") == []

    async def test_what_a_run_has_done_that_failed_is_not_by_hand(
        self, server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
    ) -> None:
        await admin.execute(BY_HAND)
        bad = checkout_with(tmp_path / "bad", made=STATISTICS.format("made"), bad="op.execute('SELECT 1 / 0')")
        upgrade(server, database, bad, code=1)
        good = checkout_with(tmp_path / "good", made=STATISTICS.format("made"), bad="op.execute('SELECT 1')")
        assert drift(upgrade(server, database, good)) == [ADDED]

    async def test_what_a_downgrade_takes_away_is_not_by_hand(
        self, server: Server, database: str, tmp_path: Path
    ) -> None:
        back = {"made": "op.execute('DROP STATISTICS made')"}
        checkout = checkout_with(tmp_path, made=STATISTICS.format("made"), downgrades=back)
        upgrade(server, database, checkout)
        assert alembic(server.environment(database), "downgrade", "-1", cwd=checkout).returncode == 0
        assert upgrade(server, database, checkout, MIGRATOR_DRIFT="fail") == []

    async def test_the_sql_that_is_run_by_others_is_not_by_hand(
        self, server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
    ) -> None:
        checkout = checkout_with(tmp_path, made=STATISTICS.format("made"))
        (before,) = await admin.fetchrow("SELECT version_num FROM alembic_version")
        printed = alembic(server.environment(database), "upgrade", f"{before}:head", "--sql", cwd=checkout)
        await admin.execute(f"SET ROLE zoo_migrator; {printed.stdout}")
        assert upgrade(server, database, checkout, MIGRATOR_DRIFT="fail") == []


class TestNeverFailsARun:
    async def test_though_its_connection_is_lost(
        self, server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
    ) -> None:
        await admin.execute(f"SET ROLE zoo_migrator; {DIE}; ALTER TABLE animals ALTER name SET DEFAULT 'x'")
        checkout = checkout_with(tmp_path, own=["api"], made=STATISTICS.format("made"))
        with (checkout / "api" / "models" / "__init__.py").open("a") as models:
            models.write(MODEL)
        warnings = upgrade(server, database, checkout, MIGRATOR_DRIFT="warn")
        assert any("drift could not be looked for" in json.dumps(line) for line in warnings), warnings

    async def test_without_the_rights_to_look(
        self, server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
    ) -> None:
        await admin.execute(
            "ALTER TABLE migration_schema OWNER TO postgres; REVOKE ALL ON migration_schema FROM PUBLIC, zoo_migrator"
        )
        checkout = checkout_with(tmp_path, made=STATISTICS.format("made"))
        warnings = upgrade(server, database, checkout, MIGRATOR_DRIFT="fail")
        assert {line["event"] for line in warnings} == {"drift could not be looked for"}
        assert all("permission denied for table migration_schema" in line["reason"] for line in warnings)


def tool(server: Server, database: str, cwd: Path, *arguments: str) -> Any:
    return run(
        "alembic_online", *arguments, env=os.environ | {"LOG_FORMAT": "text"} | server.environment(database), cwd=cwd
    )


def test_while_revisions_are_pending_status_says_that_it_did_not_look(
    server: Server, database: str, tmp_path: Path
) -> None:
    checkout = checkout_with(tmp_path, made=STATISTICS.format("made"))
    assert json.loads(tool(server, database, checkout, "status", "--json").stdout)["drift"] is None
    assert "not looked at" in tool(server, database, checkout, "status").stdout


def test_a_file_that_can_not_be_loaded_is_a_line_in_every_command(
    server: Server, database: str, tmp_path: Path
) -> None:
    checkout = checkout_with(tmp_path, made="pass")
    (checkout / "migrator" / "versions" / "broken.py").write_text("def upgrade(:\n")
    environment = server.environment(database)
    commands = [
        *(
            ("alembic", *each.split())
            for each in ("upgrade head", "upgrade head --sql", "downgrade -1", "current", "check")
        ),
        *(("alembic_online", *each.split()) for each in ("status", "wait", "repair", "plan", "rehearse", "lint")),
        ("alembic_online", "backfill", "status"),
    ]
    for command in commands:
        done = run(*command, env=os.environ | {"LOG_FORMAT": "text"} | environment, cwd=checkout)
        assert done.returncode == 3, (command, done.stderr)
        (line,) = done.stderr.splitlines()
        assert "broken.py: the revision can't be loaded: line 1" in line, command
