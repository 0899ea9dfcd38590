"""Runs of the migrator as platforms start them: at once, in the way of others, stopped, with a wrong URL."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from alembic_online.runs.lock import LOCK_KEY
from local.postgres import DATABASE, Server, serve
from tests.api.test_isolation import ODD
from tests.checkouts import linked_checkout
from tests.conftest import FAST_AND_FORGETFUL, ROOT, WAITING, alembic, superuser
from tests.faults.checkout import checkout_with, start
from tests.processes import pgbouncer as poolers
from tests.processes.test_history import DOWN, REVISIONS, UP, history, newest
from tests.rounds import STALL, rounds

# What the migrator asks for on connecting, and a pooler can't give.
IGNORED = (
    "lock_timeout, statement_timeout, client_connection_check_interval, jit, default_transaction_isolation,"
    " tcp_keepalives_idle, tcp_keepalives_interval, tcp_keepalives_count"
)


async def test_a_run_that_waits_says_for_whom_and_gives_up_in_time(server: Server, database: str) -> None:
    holder = await superuser(server, database)
    await holder.execute("SET application_name = 'somebody else'")
    await holder.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    environment = server.environment(database) | {"MIGRATOR_LOCK_TIMEOUT": "0.5"}
    refused = alembic(environment, "upgrade", "head")
    looked = alembic(environment, "current")
    await holder.close()
    assert refused.returncode == 5
    assert "waiting for another migrator" in refused.stderr
    assert "somebody else" in refused.stderr
    assert "Nothing was changed" in refused.stderr
    assert looked.returncode == 0  # a command that only reads does not wait
    assert REVISIONS[-1] in looked.stdout


async def test_it_does_not_queue_for_a_table_in_use_but_tries_again(server: Server, database: str) -> None:
    """A reader is idle in its transaction for a while: the migrator delays nobody, and succeeds after it."""
    assert alembic(server.environment(database), "downgrade", REVISIONS[0]).returncode == 0
    reader = await superuser(server, database)
    await reader.execute("SET application_name = 'somebody reading'")
    client = await asyncpg.connect(server.url("zoo_api", database))
    transaction = reader.transaction()
    await transaction.start()
    await reader.execute("SELECT * FROM animals")
    run = start(server.environment(database), "downgrade", "base")
    longest = 0.0
    assert run.stderr is not None
    while b"in_the_way" not in (line := await asyncio.to_thread(run.stderr.readline)):
        assert line, "the run ended without a second attempt"
    for _ in range(100):
        began = time.monotonic()
        await client.execute("SELECT * FROM animals")
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.01)
    await client.close()
    await transaction.rollback()
    rest = await asyncio.to_thread(run.communicate)
    await reader.close()
    assert run.returncode == 0, rest
    assert b"somebody reading, idle in transaction" in line
    assert longest < STALL
    assert await history(server, database) == UP + DOWN
    row = await newest(server, database)
    assert row["attempts"] > 1
    assert row["waited"] > row["duration"]


async def test_a_further_attempt_does_not_count_steps_again(server: Server, database: str, tmp_path: Path) -> None:
    tables = ("animals", "staff", "exhibits")
    checkout = checkout_with(
        tmp_path, **{name: f'op.add_column("{name}", sa.Column("remark", sa.Text))' for name in tables}
    )
    reader = await superuser(server, database)
    transaction = reader.transaction()
    await transaction.start()
    await reader.execute("SELECT * FROM staff")
    run = start(server.environment(database), "upgrade", "+2", cwd=checkout)
    assert run.stderr is not None
    while b"in_the_way" not in (line := await asyncio.to_thread(run.stderr.readline)):
        assert line, "the run ended without a second attempt"
    await transaction.rollback()
    rest = await asyncio.to_thread(run.communicate)
    await reader.close()
    assert run.returncode == 0, rest
    assert await history(server, database) == [*UP, ("animals", "upgrade"), ("staff", "upgrade")]


async def test_a_table_that_stays_in_use_ends_the_run_with_exit_code_5(server: Server, database: str) -> None:
    reader = await superuser(server, database)
    assert alembic(server.environment(database), "downgrade", REVISIONS[0]).returncode == 0
    async with reader.transaction():
        await reader.execute("SELECT * FROM animals")
        environment = server.environment(database) | {"MIGRATOR_RETRY_SECONDS": "0.1"}
        done = alembic(environment, "downgrade", "base")
    await reader.close()
    assert done.returncode == 5
    assert "run this again" in done.stderr.splitlines()[-1]
    assert await history(server, database) == UP + DOWN[:-1]


class TestFailures:
    """Every failure ends with one line and its exit code."""

    def fails(self, environment: dict[str, str], code: int, cwd: Path = ROOT) -> str:
        done = alembic(environment, "upgrade", "head", cwd=cwd)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr.splitlines()[-1]

    @pytest.mark.parametrize(("debug", "shown"), [("1", True), ("0", False)])
    async def test_a_query_in_the_way_is_shown_only_with_debug(
        self, server: Server, database: str, debug: str, shown: bool
    ) -> None:
        reader = await superuser(server, database)
        async with reader.transaction():
            await reader.execute("SELECT * FROM animals WHERE name = 'personal'")
            environment = {"MIGRATOR_RETRY_SECONDS": "1", "MIGRATOR_DEBUG": debug}  # looking who it is takes time, too
            done = alembic(server.environment(database) | environment, "downgrade", "base")
        await reader.close()
        assert done.returncode == 5
        assert ("personal" in done.stderr) is shown

    def test_no_url(self) -> None:
        line = self.fails({"MIGRATION_DATABASE_URL": ""}, 3)
        assert "MIGRATION_DATABASE_URL is not set" in line

    def test_settings_that_cannot_be_used(self) -> None:
        line = self.fails({"MIGRATION_DATABASE_URL": "mysql://nobody@nowhere/nothing"}, 3)
        assert "postgresql://USER@HOST:PORT/DATABASE" in line

    @pytest.mark.parametrize("ignored", [IGNORED, ""], ids=["lenient", "strict"])
    @pytest.mark.parametrize("program", [poolers.newest, poolers.too_old])
    async def test_a_connection_pooler(
        self, server: Server, empty_database: str, tmp_path: Path, program: Callable[[], str], ignored: str
    ) -> None:
        """In transaction mode, in which two clients could both hold the lock."""
        async with poolers.pgbouncer(server, tmp_path, program(), ignore_startup_parameters=ignored) as pooler:
            url = {"MIGRATION_DATABASE_URL": pooler.url("zoo_migrator", empty_database)}
            assert "leads to a connection pooler" in await asyncio.to_thread(self.fails, url, 3)
        admin = await superuser(server, empty_database)
        assert await admin.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
        await admin.close()

    @pytest.mark.parametrize(
        ("parameters", "code", "said"),
        [
            ("sslmode=no-verify", 3, "MIGRATION_DATABASE_URL: sslmode=no-verify: write sslmode=require"),
            ("sslrootcert=/no/where.pem", 3, "MIGRATION_DATABASE_URL: sslrootcert=/no/where.pem: No such file"),
            ("pgbouncer=true", 3, "MIGRATION_DATABASE_URL: pgbouncer: leave it out, and give the address of Postgres"),
            ("options=-c%20nonsense%3D1", 3, "MIGRATION_DATABASE_URL: options: unrecognized configuration parameter"),
            ("options=-c%20DateStyle%3Dx", 3, "MIGRATION_DATABASE_URL: options: invalid value for parameter"),
            ("options=-c%20search_path%3Delsewhere", 3, "names no schema"),
            ("target_session_attrs=standby", 4, "the database can't be reached"),
            ("options=-c%20default_transaction_read_only%3Don", 4, "the database is read-only"),
        ],
    )
    def test_what_is_wrong_in_a_url_is_no_failure_of_a_revision(
        self, server: Server, empty_database: str, parameters: str, code: int, said: str
    ) -> None:
        url = f"{server.url('zoo_migrator', empty_database)}&{parameters}"
        line = self.fails({"MIGRATION_DATABASE_URL": url, "MIGRATOR_WAIT_SECONDS": "0.1"}, code)
        assert said in line
        assert "a revision" not in line

    async def test_defaults_of_the_database_do_not_matter_and_the_way_down_and_up_again_is_on_record(
        self, server: Server, empty_database: str
    ) -> None:
        admin = await superuser(server, empty_database)
        for name, value in ODD.items():
            await admin.execute(f"ALTER ROLE zoo_migrator IN DATABASE {empty_database} SET {name} = '{value}'")
        await admin.close()
        environment = server.environment(empty_database) | {"MIGRATOR_DRIFT": "fail"}
        back = rounds(quick=1, full=len(REVISIONS))  # tests/migrator goes all the way, too
        for command in ("upgrade head", "check", f"downgrade {'base' if back > 1 else '-1'}", "upgrade head"):
            done = alembic(environment, *command.split())
            assert done.returncode == 0, done.stderr
        assert await history(server, empty_database) == UP + DOWN[:back] + UP[-back:]

    def test_the_apis_role(self, server: Server, database: str) -> None:
        line = self.fails({"MIGRATION_DATABASE_URL": server.url("zoo_api", database)}, 3)
        assert "the role zoo_api may not change the schema" in line

    def test_a_database_that_is_down(self) -> None:
        away = {"MIGRATION_DATABASE_URL": "postgresql://zoo_migrator@127.0.0.1:1/zoo", "MIGRATOR_WAIT_SECONDS": "0.5"}
        assert "can't be reached" in self.fails(away, 4)

    @pytest.mark.parametrize("url", [("zoo_migrator", "nowhere"), ("nobody", "postgres")], ids=["database", "role"])
    def test_a_database_that_refuses_at_once(self, server: Server, url: tuple[str, str]) -> None:
        line = self.fails({"MIGRATION_DATABASE_URL": server.url(*url), "MIGRATOR_WAIT_SECONDS": "60"}, 4)
        assert "refuses the migrator" in line

    def test_two_heads(self, server: Server, database: str, tmp_path: Path) -> None:
        checkout = linked_checkout(tmp_path)
        for name in ("left", "right"):
            (checkout / "migrator" / "versions" / f"2099_01_01_0000-{name}.py").write_text(
                f'revision = "{name}"\ndown_revision = "{REVISIONS[-1]}"\ndef upgrade(): pass\ndef downgrade(): pass\n'
            )
        line = self.fails(server.environment(database), 3, cwd=checkout)
        assert "left" in line
        assert "right" in line
        assert "alembic merge" in line

    async def test_a_revision_that_fails_leaves_nothing_behind(self, server: Server, empty_database: str) -> None:
        admin = await superuser(server, empty_database)
        await admin.execute("CREATE TABLE staff ()")  # in the way of the revision's last table
        line = self.fails(server.environment(empty_database), 1)
        assert "a revision failed and is rolled back: " in line
        assert 'relation "staff" already exists' in line
        tables = await admin.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        assert {row["relname"] for row in tables} <= {"staff", "alembic_version"}
        await admin.close()

    def test_a_revision_that_can_not_be_written_as_sql(self, tmp_path: Path) -> None:
        checkout = checkout_with(tmp_path, bad="raise RuntimeError('no such luck')")
        done = alembic({}, "upgrade", f"{REVISIONS[-1]}:head", "--sql", cwd=checkout)
        assert done.returncode == 1
        assert "a revision can't be written as SQL: no such luck" in done.stderr.splitlines()[-1]

    async def test_a_revision_that_is_not_known(self, server: Server, database: str) -> None:
        admin = await superuser(server, database)
        await admin.execute("UPDATE alembic_version SET version_num = 'foreign'")
        await admin.close()
        assert "foreign" in self.fails(server.environment(database), 6)

    async def test_a_database_that_is_ahead_is_no_failure(self, server: Server, database: str) -> None:
        admin = await superuser(server, database)
        await admin.execute("INSERT INTO migration_history (revision, direction) VALUES ('newer', 'upgrade')")
        await admin.execute("UPDATE alembic_version SET version_num = 'newer'")
        done = alembic(server.environment(database), "upgrade", "head")
        assert done.returncode == 0
        assert "ahead of this release" in done.stderr
        assert await admin.fetchval("SELECT version_num FROM alembic_version") == "newer"
        await admin.close()

    @pytest.mark.parametrize(
        ("after", "number", "said"),
        [
            (REVISIONS[0], signal.SIGTERM, b"stopped by SIGTERM: what was under way is rolled back; run this again"),
            ("head", signal.SIGTERM, b"stopped by SIGTERM: what was under way is rolled back; run this again"),
            ("head", signal.SIGINT, b"interrupted: what was under way is rolled back; run this again"),
        ],
        ids=["in a transaction", "outside", "by hand"],
    )
    async def test_a_signal_rolls_back_and_ends_with_its_code(
        self, server: Server, database: str, after: str, number: signal.Signals, said: bytes
    ) -> None:
        if after != "head":  # otherwise, an index goes first
            assert alembic(server.environment(database), "downgrade", after).returncode == 0
        reader = await superuser(server, database)
        async with reader.transaction():
            await reader.execute("SELECT * FROM animals")
            run = start(server.environment(database), "downgrade", "base")
            while not await reader.fetchval(WAITING):
                await asyncio.sleep(0.01)
            run.send_signal(number)
            _, err = await asyncio.to_thread(run.communicate, None, 5)
        assert run.returncode == 128 + number, err
        assert said in err.splitlines()[-1]
        assert (await history(server, database))[-1] != DOWN[-1]
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrator' AND datname = $1"
        while await reader.fetchval(sessions, database):
            await asyncio.sleep(0.01)
        await reader.close()

    async def test_a_database_that_starts_later_is_no_failure(self, tmp_path: Path, free_port: int) -> None:
        with serve(tmp_path / "data", FAST_AND_FORGETFUL, DATABASE):
            pass
        url = f"postgresql://zoo_migrator@127.0.0.1:{free_port}/{DATABASE}"
        run = start({"MIGRATION_DATABASE_URL": url}, "upgrade", REVISIONS[0])
        assert run.stderr is not None
        assert b"waiting for the database" in await asyncio.to_thread(run.stderr.readline)
        with serve(tmp_path / "data", {**FAST_AND_FORGETFUL, "listen_addresses": "127.0.0.1", "port": str(free_port)}):
            _, err = await asyncio.to_thread(run.communicate)
        assert run.returncode == 0, err
        assert b"applying" in err
