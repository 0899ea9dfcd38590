"""`python -m alembic_online rehearse`: on a scratch database, dropped afterwards; the real one is unchanged."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from alembic_online.rehearsal.copy import copy_database
from alembic_online.rehearsal.dump import find_pg_dump
from alembic_online.rehearsal.scratch import scratch_database
from alembic_online.settings import Settings
from local.postgres import Server
from tests.checkouts import linked_checkout
from tests.conftest import ROOT, superuser, uncoloured
from tests.faults.checkout import checkout_with
from tests.processes.test_history import FILES, REVISIONS
from tests.processes.test_schema import schema
from tests.python import HANGS, Python
from tests.rounds import rounds

CHECK = "op.add_check_online(op.f('ck_animals_short'), 'animals', 'length(name) < 1000')"
NO_CHECK = "op.drop_constraint_online('ck_animals_short', 'animals')"
MODELLED = """
from sqlalchemy import CheckConstraint
from sqlalchemy.sql.elements import conv
Base.metadata.tables["animals"].append_constraint(CheckConstraint("length(name) < 1000", conv("ck_animals_short")))
"""
# The first is refused, or else a failure of its own; then the second.
REFUSED = (
    "DO 'BEGIN BEGIN CREATE SCHEMA more; RAISE ''it may make schemas'';"
    " EXCEPTION WHEN insufficient_privilege THEN CREATE TABLE apart.x (id int); END; END'"
)
SLEEP = "op.execute('LOCK TABLE animals')\nop.execute('SELECT pg_sleep(60)')"
SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE $1 || '\\_rehearsal\\_%' AND query LIKE '%pg_sleep(60)'"
)
SCRATCH = "SELECT array_agg(datname) FROM pg_database WHERE datname LIKE $1 || '\\_rehearsal\\_%'"


def is_its_own(statement: str) -> bool:
    """Whether it is about what the migrator owns; the roles' script takes rights on functions of Postgres away."""
    return " ON FUNCTION pg_catalog." not in statement


def command(environment: dict[str, str], checkout: Path, *options: str) -> Python:
    env = os.environ | {"LOG_FORMAT": "text", "COLUMNS": "100"} | environment
    pipe = subprocess.PIPE
    return Python("alembic_online", "rehearse", *options, env=env, cwd=checkout, stdout=pipe, stderr=pipe, text=True)


def modelled(checkout: Path) -> Path:
    """The checkout, with the check in its models."""
    with (checkout / "api" / "models" / "__init__.py").open("a") as models:
        models.write(MODELLED)
    return checkout


def rehearse(environment: dict[str, str], checkout: Path, *options: str) -> dict[str, Any]:
    """The report, from JSON; its exit code is checked."""
    run = command(environment, checkout, "--json", *options)
    printed, said = run.communicate(timeout=HANGS)
    assert printed, said
    found: dict[str, Any] = json.loads(printed)
    assert run.returncode == (0 if found["is_fine"] else 1)
    return found


def shown(environment: dict[str, str], checkout: Path, code: int) -> str:
    """The report as people read it, if the exit code is this one."""
    run = command(environment, checkout)
    printed, said = run.communicate(timeout=HANGS)
    assert run.returncode == code, printed + said
    return uncoloured(printed)


def refused(environment: dict[str, str], checkout: Path) -> tuple[int, str]:
    run = command(environment, checkout)
    _, said = run.communicate(timeout=HANGS)
    return run.returncode, said.splitlines()[-1]


def seen(found: dict[str, Any], revision: str, leg: str = "up") -> dict[str, dict[str, Any]]:
    """What a revision's statements were seen to do, by table; the last one, if several did."""
    return {
        table["table"]: table
        for statement in found["statements"]
        if (statement["revision"], statement["leg"]) == (revision, leg)
        for table in statement["tables"]
    }


async def wait_until_sleeping(admin: asyncpg.Connection, database: str, *runs: Python) -> None:
    """Wait for these rehearsals, of which none may end before."""
    async with asyncio.timeout(HANGS):
        while await admin.fetchval(SLEEPING, database) < len(runs):
            assert [run.poll() for run in runs] == [None] * len(runs)
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def migrated(server: Server, worker_database: str) -> str:
    """The schema of every database that a test begins with."""
    return schema(server, worker_database)


@pytest.fixture
async def only_read(server: Server, database: str, migrated: str, admin: asyncpg.Connection) -> AsyncIterator[None]:
    """Check that the real database is unchanged afterwards, and that no other one is left."""
    before = migrated, await admin.fetchval("SELECT max(id) FROM migration_history")
    yield
    assert (schema(server, database), await admin.fetchval("SELECT max(id) FROM migration_history")) == before
    assert await admin.fetchval(SCRATCH, database) is None


@pytest.fixture
async def migrator(server: Server, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the role that owns the tables."""
    connection = await asyncpg.connect(server.url("zoo_migrator", database))
    yield connection
    await connection.close()


@pytest.mark.usefixtures("only_read")
class TestTheWay:
    def test_goes_up_down_and_up_again_in_any_phase(self, server: Server, database: str, tmp_path: Path) -> None:
        contract = {"phase": "contract", "safe_from_release": "9.9"}
        checkout = modelled(
            checkout_with(
                tmp_path, own=["api"], check=CHECK, attributes={"check": contract}, downgrades={"check": NO_CHECK}
            )
        )
        found = rehearse({**server.environment(database), "MIGRATOR_PHASE": "expand"}, checkout)
        assert found["is_fine"], found
        assert [(leg["leg"], leg["error"]) for leg in found["legs"]] == [
            ("up", None),
            ("down", None),
            ("up again", None),
        ]
        assert found["revisions"] == {"check": "check"}
        assert seen(found, "check", "down")["animals"]["lock"] == "ACCESS EXCLUSIVE"

    def test_goes_from_the_first_revision_on(self, server: Server, empty_database: str, tmp_path: Path) -> None:
        checkout = linked_checkout(tmp_path)
        count = rounds(quick=2, full=len(FILES))
        for later in FILES[count:]:
            (checkout / "migrator" / "versions" / later.name).unlink()
        found = rehearse(server.environment(empty_database), checkout)
        assert [*found["revisions"]] == REVISIONS[:count]
        assert [leg["error"] for leg in found["legs"]] == [None] * 3
        assert (found["differences"], found["surprises"], found["not_taken_back"]) == ({}, [], [])
        assert found["is_fine"] == (count == len(FILES))  # the models have more than the first revisions

    async def test_what_a_downgrade_forgets_is_found_and_a_column_that_comes_back_as_the_last_is_no_difference(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("ALTER TABLE staff ADD COLUMN first text, ADD COLUMN second text")
        checkout = checkout_with(
            tmp_path,
            drop="op.drop_column('staff', 'first')",
            check=f"op.execute('CREATE FUNCTION forgotten() RETURNS int LANGUAGE sql RETURN 1')\n{CHECK}",
            downgrades={"drop": "op.add_column('staff', sa.Column('first', sa.Text()))", "check": NO_CHECK},
        )
        found = rehearse(server.environment(database), checkout)
        (diff,) = found["differences"].values()
        assert "+CREATE FUNCTION public.forgotten() RETURNS integer" in diff
        assert "ck_animals_short" not in diff
        assert "first" not in diff
        assert "forgotten" in found["legs"][-1]["error"]
        await admin.execute("ALTER TABLE staff DROP COLUMN first, DROP COLUMN second")

    def test_a_downgrade_that_does_nothing_can_not_be_gone_twice(
        self, server: Server, database: str, tmp_path: Path
    ) -> None:
        rows = "op.execute(\"UPDATE animals SET name = 'A' WHERE name = 'B'\")"
        found = rehearse(server.environment(database), checkout_with(tmp_path, rows=rows, check=CHECK))
        assert found["not_taken_back"] == ["check"]
        assert [leg["leg"] for leg in found["legs"]] == ["up", "down"]

    def test_a_downgrade_that_says_that_there_is_none_is_no_failure(
        self, server: Server, database: str, tmp_path: Path
    ) -> None:
        function = "op.execute('CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1')"
        no_way = {"function": "raise NotImplementedError('rows are gone')"}
        checkout = checkout_with(tmp_path, function=function, downgrades=no_way)
        text = shown(server.environment(database), checkout, 0)
        assert "can't be taken back, as the revision itself says" in text
        assert "NotImplementedError: rows are gone" in text

    def test_a_failure_names_its_line_and_leaves_nothing(self, server: Server, database: str, tmp_path: Path) -> None:
        checkout = checkout_with(tmp_path, check=CHECK, bad="op.execute('SELECT 1')\nop.execute('SELECT 1 / 0')")
        text = shown(server.environment(database), checkout, 1)
        assert "no up: " in text
        assert "failed (bad, 2099_01_01_0001-bad.py line 8): " in text
        assert "division by zero" in text

    def test_says_that_nothing_is_pending(self, server: Server, database: str) -> None:
        run = command(server.environment(database), ROOT)
        assert run.communicate(timeout=HANGS)[0] == "nothing to rehearse: no revision is pending\n"
        assert run.returncode == 0


class TestMeasured:
    async def test_locks_and_rewrites(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("INSERT INTO animals (name) SELECT n::text FROM generate_series(1, 20) n")
        alone = {
            "index": "CREATE INDEX CONCURRENTLY ix_animals_x ON animals (name)",
            "anew": "REINDEX INDEX CONCURRENTLY ix_animals_x",
            "gone": "DROP INDEX CONCURRENTLY ix_animals_x",
            "vacuum": "VACUUM animals",
            "full": "VACUUM FULL animals",
        }
        block = "with op.get_context().autocommit_block():\n    op.execute('{}')"
        checkout = checkout_with(
            tmp_path,
            fill="op.backfill('animals', {'name': \"name || '!'\"}, where=\"name !~ '!'\")",
            plain="op.execute('ALTER TABLE animals ADD COLUMN plain int DEFAULT 1')",
            volatile="op.execute('ALTER TABLE animals ADD COLUMN code uuid DEFAULT gen_random_uuid()')",
            column="op.add_column('animals', sa.Column('keeper_id', sa.BigInteger()))",
            key="op.add_foreign_key_online('fk_keeper', 'animals', 'exhibits', ['keeper_id'], ['id'])",
            **{name: block.format(statement) for name, statement in alone.items()},
        )
        found = rehearse(server.environment(database), checkout, "--sample", "10")
        assert found["surprises"] == []
        assert not any(statement["not_measured"] for statement in found["statements"])
        on_animals = {name: seen(found, name)["animals"] for name in ("fill", "plain", "volatile", *alone)}
        assert {name: (one["lock"], one["is_rewritten"]) for name, one in on_animals.items()} == {
            "fill": ("ROW EXCLUSIVE", False),
            "plain": ("ACCESS EXCLUSIVE", False),
            "volatile": ("ACCESS EXCLUSIVE", True),
            **dict.fromkeys(("index", "anew", "gone", "vacuum"), ("SHARE UPDATE EXCLUSIVE", False)),
            "full": ("ACCESS EXCLUSIVE", True),
        }
        up = {name: [one for one in found["statements"] if (one["revision"], one["leg"]) == (name, "up")]
              for name in ("fill", "key")}  # fmt: skip
        # A backfill is one, however many batches it has; a foreign key locks both of its tables.
        assert [(one["operation"], one["is_planned"]) for one in up["fill"]] == [("backfill", True)]
        add, validate = [{table["table"]: table["lock"] for table in one["tables"]} for one in up["key"]]
        assert add == {"animals": "SHARE ROW EXCLUSIVE", "exhibits": "SHARE ROW EXCLUSIVE"}
        assert (validate["animals"], validate["exhibits"]) == ("SHARE UPDATE EXCLUSIVE", "ROW SHARE")

    async def test_an_index_that_exists_is_dropped_and_built_anew_as_planned_every_time(
        self, server: Server, database: str, tmp_path: Path, migrator: asyncpg.Connection
    ) -> None:
        # Postgres takes the exclusive lock of an index for less than a millisecond, when nobody can use it any more.
        often = rounds(quick=20, full=60)
        for number in range(often):
            await migrator.execute(f"CREATE INDEX ix_{number} ON animals (name)")
        numbers = "with op.get_context().autocommit_block():\n    for number in range({}):\n        op.execute(f'{}')"
        checkout = checkout_with(
            tmp_path,
            anew=numbers.format(often, "REINDEX INDEX CONCURRENTLY ix_{number}"),
            gone=numbers.format(often, "DROP INDEX CONCURRENTLY ix_{number}"),
        )
        found = rehearse(server.environment(database), checkout)
        assert found["surprises"] == []
        assert seen(found, "gone")["animals"]["lock"] == "SHARE UPDATE EXCLUSIVE"

    async def test_what_the_plan_can_not_see_is_a_surprise(
        self, server: Server, database: str, tmp_path: Path, migrator: asyncpg.Connection
    ) -> None:
        await migrator.execute(
            "CREATE FUNCTION greedy() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN LOCK TABLE staff IN SHARE MODE; RETURN NULL; END'"
        )
        await migrator.execute("CREATE TRIGGER greedy AFTER UPDATE ON animals EXECUTE FUNCTION greedy()")
        checkout = checkout_with(tmp_path, rows="op.execute(\"UPDATE animals SET name = 'A' WHERE name = 'B'\")")
        text = shown(server.environment(database), checkout, 1)
        assert "rows line 7: staff is locked SHARE, but the plan has no lock" in text
        assert "staff    SHARE (planned: none)" in text

    async def test_a_statement_that_fails_while_it_is_looked_at_is_no_obstacle(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("INSERT INTO animals (name) VALUES ('twice'), ('twice')")
        checkout = checkout_with(tmp_path, unique="op.create_index_online('ix_once', 'animals', ['name'], unique=True)")
        found = rehearse(server.environment(database), checkout, "--sample", "2")
        assert "rows of animals violate ix_once" in found["legs"][0]["error"]


class TestScratchDatabase:
    async def stop(self, run: Python, number: signal.Signals) -> str:
        """Stop a rehearsal, whoever sends the signal sending it twice; what it has said."""
        run.send_signal(number)
        run.send_signal(number)
        said: str
        _, said = await asyncio.to_thread(run.communicate, timeout=HANGS)
        assert run.returncode == 128 + number
        assert f"stopped by {number.name}: the scratch database is dropped" in said.splitlines()[-1]
        assert "Traceback" not in said
        return said

    @pytest.mark.usefixtures("only_read")
    async def test_is_gone_after_a_signal_and_of_one_that_was_killed_is_dropped_by_the_next_and_one_in_use_is_not(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        environment = server.environment(database)
        checkout = checkout_with(tmp_path, check=SLEEP)
        killed, at_work = command(environment, checkout), command(environment, checkout)
        await wait_until_sleeping(admin, database, killed, at_work)
        killed.kill()
        killed.communicate()
        async with asyncio.timeout(HANGS):
            while await admin.fetchval(SLEEPING, database) > 1:
                await asyncio.sleep(0.02)
        left = await admin.fetchval(SCRATCH, database)
        assert len(left) == 2
        the_next = command(environment, checkout)
        await wait_until_sleeping(admin, database, at_work, the_next)
        found = await admin.fetchval(SCRATCH, database)
        assert (len(found), len(set(left) & set(found))) == (2, 1)
        said = await self.stop(the_next, signal.SIGINT)
        assert "dropping what an interrupted rehearsal has left" in said
        assert len(await admin.fetchval(SCRATCH, database)) == 1
        assert at_work.poll() is None
        await self.stop(at_work, signal.SIGTERM)

    async def test_with_somebodys_session_in_it_the_report_is_given_and_its_rows_are_not_kept(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("INSERT INTO animals (name) VALUES ('Amara')")
        sleep = SLEEP.replace("pg_sleep(60)", "pg_sleep(2)")
        run = command(server.environment(database), checkout_with(tmp_path, sleep=sleep), "--json", "--sample", "1")
        async with asyncio.timeout(HANGS):
            while not await admin.fetchval(SLEEPING.replace("60", "2"), database):
                await asyncio.sleep(0.02)
        (scratch,) = await admin.fetchval(SCRATCH, database)
        guest = await superuser(server, scratch)  # whom the migrator's role may not end
        printed, said = await asyncio.to_thread(run.communicate, timeout=HANGS)
        assert json.loads(printed)["legs"][0]["error"] is None
        way_on = f'DROP DATABASE "{scratch}" WITH (FORCE)'
        assert way_on in said.splitlines()[-1]
        assert "postgres" in said.splitlines()[-1]
        assert await guest.fetch("SELECT FROM pg_tables WHERE tablename = 'animals'") == []
        await guest.close()
        await admin.execute(way_on)

    async def test_has_the_schema_and_a_sample_of_rows(
        self, server: Server, database: str, migrator: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await migrator.execute(
            """
            CREATE TABLE places (id int PRIMARY KEY, inside int REFERENCES places, size int,
                doubled int GENERATED ALWAYS AS (size * 2) STORED);
            CREATE TABLE visits (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, place int NOT NULL REFERENCES places);
            CREATE TABLE log (at date, place int REFERENCES places) PARTITION BY RANGE (at);
            CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
            ALTER TABLE places ADD COLUMN last_visit int REFERENCES visits;
            -- Each place is inside the next one, and the last inside the first.
            INSERT INTO places (id, inside, size) SELECT n, n % 50 + 1, n FROM generate_series(1, 50) n;
            INSERT INTO visits (place) SELECT 41 - n FROM generate_series(1, 40) n;
            UPDATE places SET last_visit = 40 - id WHERE id < 40;
            INSERT INTO log SELECT '2026-05-01', n FROM generate_series(30, 35) n;
            """
        )
        monkeypatch.setenv("PATH", server.environment()["PATH"])
        url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()
        pg_dump = await find_pg_dump(18)
        async with scratch_database(url) as scratch:
            rows, left_out = await copy_database(pg_dump, url, scratch, 3)
            assert scratch.database is not None
            # Rows refer to each other here, so that all places are needed, and with them all visits.
            assert (rows["places"], rows["visits"], rows["log_2026"], left_out) == (50, 39, 3, [])
            assert await pg_dump.schema(scratch) == list(filter(is_its_own, await pg_dump.schema(url)))
            copy = await superuser(server, scratch.database)
            assert await copy.fetchval("SELECT bool_and(doubled = 2 * size) FROM places")
            assert await copy.fetchval("SELECT nextval('visits_id_seq')") == 41
            assert await copy.fetchval("SELECT count(*) FROM migration_history") == len(REVISIONS)
            assert not await copy.fetchval("SELECT has_database_privilege('public', current_database(), 'CONNECT')")
            await copy.close()

    async def test_tells_what_the_role_may_not_make_and_what_needs_that(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection, migrator: asyncpg.Connection
    ) -> None:
        await admin.execute(
            "CREATE FOREIGN DATA WRAPPER wrapper; GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO PUBLIC"
        )
        await migrator.execute("CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper")
        await migrator.execute("CREATE FOREIGN TABLE far (id int) SERVER elsewhere")
        await migrator.execute("CREATE MATERIALIZED VIEW named AS SELECT name FROM animals")
        await migrator.execute("CREATE UNIQUE INDEX ix_named ON named (name)")
        refresh = "op.execute('REFRESH MATERIALIZED VIEW CONCURRENTLY named')"
        found = rehearse(server.environment(database), checkout_with(tmp_path, refresh=refresh))
        assert "CREATE FOREIGN DATA WRAPPER wrapper: permission denied" in found["left_out"][0]
        assert any("CREATE FOREIGN TABLE public.far" in left for left in found["left_out"])
        assert not any("REFRESH" in left for left in found["left_out"]), found["left_out"]
        assert found["legs"][0]["error"] is None
        assert seen(found, "refresh")["named"]["lock"] == "EXCLUSIVE"

    async def test_gives_the_role_no_right_that_it_does_not_have(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("CREATE SCHEMA apart; GRANT USAGE ON SCHEMA apart TO zoo_migrator")
        await admin.execute(f"ALTER DATABASE {database} OWNER TO postgres")
        await admin.execute(f"REVOKE CREATE ON DATABASE {database} FROM zoo_migrator, PUBLIC")
        found = rehearse(server.environment(database), checkout_with(tmp_path, create=f'op.execute("{REFUSED}")'))
        assert "permission denied for schema" in found["legs"][0]["error"]


@pytest.mark.usefixtures("only_read")
class TestRefused:
    async def test_without_the_right_to_make_databases(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        role = f"zoo_{uuid4().hex}"
        await admin.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}")
        await admin.execute(f"GRANT CONNECT ON DATABASE {database} TO {role}")
        await admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        environment = {**server.environment(database), "MIGRATION_DATABASE_URL": server.url(role, database)}
        code, said = refused(environment, checkout_with(tmp_path, check=CHECK))
        assert code == 3
        assert f'ALTER ROLE "{role}" CREATEDB' in said
        await admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    def test_without_pg_dump(self, server: Server, database: str, tmp_path: Path) -> None:
        environment = {**server.environment(database), "PATH": "/nowhere"}
        code, said = refused(environment, checkout_with(tmp_path, check=CHECK))
        assert code == 3
        assert "there is none in PATH: install PostgreSQL's client programs" in said

    def test_with_a_pg_dump_that_is_older_than_the_server(self, server: Server, database: str, tmp_path: Path) -> None:
        checkout = checkout_with(tmp_path, check=CHECK)
        old = tmp_path / "old" / "pg_dump"
        old.parent.mkdir()
        old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.19 (Debian 14.19-1)'\n")
        old.chmod(0o755)
        environment = server.environment(database)
        environment["PATH"] = f"{old.parent}:{environment['PATH']}"
        code, said = refused(environment, checkout)
        assert code == 3
        assert (
            f"a rehearsal copies the schema with pg_dump 18 or newer, but {old} is pg_dump (PostgreSQL) 14.19" in said
        )
