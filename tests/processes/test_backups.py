"""deploy/backup, which `make backup`, `restore` and `rehearse-restore` call. docker.sh stands in for Docker; the real
stack's are in tests/stack/test_backups.py.
"""

import asyncio
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import REGISTRY

from api.crud import observing
from api.main import create_app
from api.metrics import BACKUP
from api.settings import Settings
from local.postgres import DATABASE, SUPERUSER, Server, binaries, serve
from tests.checkouts import linked_checkout, write_quick_python
from tests.conftest import FAST_AND_FORGETFUL, ROOT, alembic, serve_app, superuser
from tests.processes.test_history import REVISIONS
from tests.processes.test_schema import schema
from tests.python import HANGS

TEMPLATE = "migrated"
NAME = re.compile(r"zoo-(?P<release>[\w.]+)-\d{8}T\d{6}Z-(?P<checksum>[0-9a-f]{64})\.dump")
REFUSED, UNKNOWN_REVISION = 3, 6
EARLIER = "1d122c4cabd6"
ROWS = "SELECT array_agg(name ORDER BY id) FROM animals"
ANIMALS = ["Amara", "tab\there\\.", "line\nend", "\\."]
DATABASES = "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database WHERE datname ~ '^zoo'"

CONTRACT = '''"""Nobody needs it.

Revision: f000
Follows: {head}
Created: 2099-01-01 00:00:00+00:00
"""

from alembic import op

revision = "f000"
down_revision = "{head}"
phase = "contract"
safe_from_release = "0.3.0"


def upgrade() -> None:
    op.drop_column("staff", "job_title")
'''


@dataclass(frozen=True)
class Operator:
    """Who runs the commands, in a checkout of which only they are there."""

    checkout: Path
    server: Server
    environment: dict[str, str]

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [str(self.checkout / "deploy" / "backup"), *arguments]
        return subprocess.Popen(
            command, cwd=self.checkout, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, err = process.communicate(timeout=HANGS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def save(self) -> str:
        """The path of a new backup."""
        done = self.run("save")
        assert done.returncode == 0, done.stderr
        return done.stderr.rpartition("saved: ")[2].strip()

    def saved(self) -> list[str]:
        return sorted(path.name for path in (self.checkout / "backups").glob("*"))

    def after_loading(self, database: str, statement: str) -> None:
        """Let this be done each time that a dump has been loaded."""
        program = self.checkout / "bin" / "pg_restore"
        program.write_text(
            f'#!/bin/sh\n{binaries()}/pg_restore "$@" || exit\n'
            f'case $* in *--dbname=*) psql --username=postgres --dbname={database} --command="{statement}" ;; esac\n'
        )
        program.chmod(0o755)

    async def sql(self, statement: str, database: str = DATABASE, role: str = SUPERUSER) -> object:
        """Run statements, or one whose only value is returned."""
        connection = await asyncpg.connect(self.server.url(role, database))
        try:
            return await (connection.fetchval if statement.startswith("SELECT") else connection.execute)(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, because the database has the stack's name."""
    with serve(tmp_path_factory.mktemp("backups") / "data", FAST_AND_FORGETFUL, DATABASE) as server:
        assert alembic(server.environment(), "upgrade", "head").returncode == 0
        yield server


@pytest.fixture
async def operator(cluster: Server, tmp_path: Path) -> AsyncIterator[Operator]:
    """With four animals in the database."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(ROOT / "tests" / "processes" / "docker.sh")
    write_quick_python(tmp_path / "bin" / "python")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{binaries()}:{os.environ['PATH']}",
        "PYTHON": str(tmp_path / "bin" / "python"),
        "CHECKOUT": str(ROOT),
        "PGHOST": str(cluster.socket_dir),
        "POSTGRES_USER": SUPERUSER,
        "POSTGRES_DB": DATABASE,
        "DATABASE_PASSWORD": "unused",
        "MIGRATION_DATABASE_PASSWORD": "unused",
    }
    admin = await superuser(cluster)
    await admin.execute("DROP ROLE IF EXISTS zoo_monitor")
    await admin.execute("CREATE ROLE zoo_monitor LOGIN PASSWORD 'of before'")
    await admin.execute(f"ALTER DATABASE {DATABASE} RENAME TO {TEMPLATE}")
    await admin.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")
    api = await asyncpg.connect(cluster.url("zoo_api"))
    await api.executemany("INSERT INTO animals (name) VALUES ($1)", [(name,) for name in ANIMALS])
    await api.close()
    yield Operator(tmp_path, cluster, environment)
    for database in await admin.fetchval(DATABASES):
        await admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
    await admin.execute(f"ALTER DATABASE {TEMPLATE} RENAME TO {DATABASE}")
    await admin.close()


async def require_that_nothing_changed(operator: Operator) -> None:
    assert await operator.sql(ROWS) == ANIMALS
    assert await operator.sql(DATABASES) == [DATABASE]


class TestRestore:
    async def test_brings_back_a_dropped_table_with_its_rights_and_keeps_what_there_was(
        self, operator: Operator
    ) -> None:
        before = schema(operator.server, DATABASE)
        path = operator.save()
        name = NAME.fullmatch(Path(path).name)
        assert name is not None
        assert name["checksum"] == hashlib.sha256((operator.checkout / path).read_bytes()).hexdigest()
        await operator.sql("DROP TABLE animals CASCADE")
        await operator.sql("INSERT INTO staff (name) VALUES ('Ngozi')")
        session = await asyncpg.connect(operator.server.url("zoo_api"))

        done = operator.run("restore", path, "replace")

        assert done.returncode == 0, done.stderr
        assert await operator.sql(ROWS) == ANIMALS
        assert schema(operator.server, DATABASE) == before
        checked = alembic(operator.server.environment(), "check")
        assert checked.returncode == 0, checked.stderr
        await operator.sql("INSERT INTO animals (name) VALUES ('Bahati')", role="zoo_api")
        assert await operator.sql("SELECT current_user::text", role="zoo_monitor") == "zoo_monitor"
        with pytest.raises(asyncpg.InterfaceError, match="closed"):
            await session.fetchval("SELECT 1")
        (kept,) = re.findall(r"zoo_before_\d{8}_\d{6}", done.stderr.partition(";")[0])
        assert await operator.sql("SELECT name FROM staff", kept) == "Ngozi"
        assert operator.saved() == [Path(path).name]

    async def test_brings_one_of_an_older_release_to_the_newest_revision(self, operator: Operator) -> None:
        newest = schema(operator.server, DATABASE)
        assert alembic(operator.server.environment(), "downgrade", EARLIER).returncode == 0
        assert await operator.sql("SELECT to_regclass('photos')") is None
        path = operator.save()
        await operator.sql(f"DROP DATABASE {DATABASE}", "postgres")  # all is gone

        done = operator.run("restore", path)

        assert done.returncode == 0, done.stderr
        assert await operator.sql(ROWS) == ANIMALS
        assert schema(operator.server, DATABASE) == newest
        assert await operator.sql(DATABASES) == [DATABASE]

    async def test_leaves_what_older_apis_use_to_the_release_unless_told_otherwise(self, operator: Operator) -> None:
        checkout = linked_checkout(operator.checkout / "of_a_release")
        (checkout / "migrator" / "versions" / "2099_01_01_0000-contract.py").write_text(
            CONTRACT.format(head=REVISIONS[-1])
        )
        operator.environment["CHECKOUT"] = str(checkout)
        path = operator.save()
        for phase, left in ((None, True), ("all", False)):
            operator.environment.update({"MIGRATOR_PHASE": phase} if phase else {})
            await asyncio.sleep(1)  # what was there before is named after the second
            done = operator.run("restore", path, "replace")
            assert done.returncode == 0, done.stderr
            found = (
                "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'staff'::regclass AND attname = 'job_title')"
            )
            assert await operator.sql(found) is left

    async def test_refuses_one_of_a_newer_release(self, operator: Operator) -> None:
        await operator.sql("UPDATE alembic_version SET version_num = 'fffffffff'")
        path = operator.save()
        done = operator.run("restore", path, "replace")
        assert (done.returncode, "nothing was changed" in done.stderr) == (UNKNOWN_REVISION, True), done.stderr
        await require_that_nothing_changed(operator)

    async def test_refuses_one_that_is_not_what_was_saved(self, operator: Operator) -> None:
        path = operator.checkout / operator.save()
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], whole[:-1], b"", whole + b"!"):
            path.write_bytes(damaged)
            done = operator.run("restore", str(path), "replace")
            assert (done.returncode, "cut off or changed" in done.stderr) == (REFUSED, True), done.stderr
        for named in ("", "animals.dump", "zoo-0.3.0-20260101T000000Z.dump", f"zoo-1-{'0' * 16}.dump", path.name):
            assert operator.run("restore", named, "replace").returncode == REFUSED
        # Whatever a name says, all of it has to be there.
        for content in (whole[: len(whole) // 2], whole[:-1000], b"CREATE TABLE animals ()"):
            path = operator.checkout / f"zoo-1-{hashlib.sha256(content).hexdigest()}.dump"
            path.write_bytes(content)
            done = operator.run("restore", str(path), "replace")
            assert (done.returncode, "not a complete one" in done.stderr) == (REFUSED, True), done.stderr
        await require_that_nothing_changed(operator)

    async def test_refuses_a_database_that_is_not_empty(self, operator: Operator) -> None:
        path = operator.save()
        for what, left in (
            ("TABLE", "mine ()"),
            ("FUNCTION", "one() RETURNS int RETURN 1"),
            ("TYPE", "size AS ENUM ()"),
            ("SCHEMA", "mine"),
        ):
            await operator.sql(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE {what} {left}")
            done = operator.run("restore", path)
            assert done.returncode == REFUSED
            assert f"make restore FILE={path} REPLACE=1" in done.stderr
            await operator.sql(f"DROP {what} {left.split()[0]}")
        assert await operator.sql(DATABASES) == [DATABASE]
        assert operator.run("restore", path).returncode == 0
        assert await operator.sql(ROWS) == ANIMALS
        assert await operator.sql(DATABASES) == [DATABASE]

    async def test_into_an_empty_database_loses_nothing_that_comes_meanwhile(self, operator: Operator) -> None:
        path = operator.save()
        await operator.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        operator.after_loading("zoo", "CREATE TABLE came ()")
        done = operator.run("restore", path)
        assert (done.returncode, "something came" in done.stderr) == (REFUSED, True), done.stderr
        assert await operator.sql("SELECT to_regclass('came')::text") == "came"
        (beside,) = set(re.findall(r"zoo_restored_\d{8}_\d{6}", done.stderr))
        assert await operator.sql(ROWS, beside) == ANIMALS
        assert await operator.sql(DATABASES) == [DATABASE, beside]

    async def test_waits_for_no_other_on_the_same_postgres_and_leaves_its_database(self, operator: Operator) -> None:
        path = operator.save()
        await operator.sql("CREATE DATABASE zoo_restored")
        hold = [str(operator.checkout / "deploy" / "postgres" / "backup.sh"), "hold"]
        with subprocess.Popen(
            hold, env=operator.environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            for command in (["restore", path, "replace"], ["rehearse", path]):
                done = operator.run(*command)
                assert (done.returncode, "another restore" in done.stderr) == (REFUSED, True), done.stderr
            assert operator.run("save").returncode == 0
            assert await operator.sql(DATABASES) == [DATABASE, "zoo_restored"]
            other.communicate()
        assert operator.run("restore", path, "replace").returncode == 0

    async def test_cut_off_while_the_database_was_closed_is_mended_by_the_next_command(
        self, operator: Operator
    ) -> None:
        await operator.sql(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false", "postgres")
        path = operator.save()
        await require_that_nothing_changed(operator)
        await operator.sql(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false", "postgres")
        assert operator.run("restore", path).returncode == REFUSED
        await require_that_nothing_changed(operator)

    async def test_that_is_killed_changes_nothing_and_is_done_again(self, operator: Operator) -> None:
        path = operator.save()
        process = operator.start("restore", path, "replace")
        deadline = time.monotonic() + HANGS
        while not await operator.sql("SELECT count(*) FROM pg_database WHERE datname = 'zoo_restored'"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        left = operator.saved()
        assert await operator.sql(ROWS) == ANIMALS
        assert operator.run("restore", path, "replace").returncode == 0
        assert await operator.sql(ROWS) == ANIMALS
        assert len(left) > 1  # its own files are removed by the next one
        assert operator.saved() == [Path(path).name]


class TestBackup:
    @pytest.mark.parametrize("code", [0, 1])
    async def test_is_there_completely_or_not_at_all(self, operator: Operator, code: int) -> None:
        """However a dump is cut off: the program fails, or what carries its output does without a word."""
        (operator.checkout / "bin" / "pg_dump").write_text(
            f'#!/bin/sh\n{binaries()}/pg_dump "$@" | head -c 20000\nexit {code}\n'
        )
        (operator.checkout / "bin" / "pg_dump").chmod(0o755)
        done = operator.run("save")
        assert (done.returncode, "there is no backup" in done.stderr) == (1, True), done.stderr
        assert operator.saved() == []

    async def test_can_be_read_by_its_owner_only_and_has_no_workers(self, operator: Operator) -> None:
        """Workers of before would be in the way of contract revisions, which wait for them."""
        await operator.sql(
            "INSERT INTO migration_workers (id, application, release, host) VALUES (uuidv7(), 'api', '1.2.3+a b', 'h')"
        )
        path = operator.checkout / operator.save()
        assert path.name.startswith("zoo-1.2.3+a_b-")
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        read = subprocess.run([binaries() / "pg_restore", "--file=-", path], capture_output=True, check=True)
        assert b"COPY public.animals" in read.stdout
        assert b"COPY public.migration_workers" not in read.stdout

    @pytest.mark.parametrize("left", ["", "CREATE TABLE animals (); CREATE TABLE alembic_version AS SELECT 1"])
    async def test_of_nothing_is_refused(self, operator: Operator, left: str) -> None:
        await operator.sql(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {left}")
        done = operator.run("save")
        assert (done.returncode, "no table of the database has any rows" in done.stderr) == (REFUSED, True)
        assert operator.saved() == []


async def test_of_when_the_last_one_is_is_measured_and_a_restored_database_has_none(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "ASK_EVERY_SECONDS", 0.1)

    async def until(earliest: float, latest: float) -> None:
        settings = Settings(database_url=operator.server.url("zoo_api"))
        async with serve_app(create_app(settings)), asyncio.timeout(HANGS):
            BACKUP.set(-1)
            while not earliest <= (REGISTRY.get_sample_value("backup_saved_timestamp_seconds") or 0) <= latest:
                await asyncio.sleep(0.05)

    await until(0, 0)
    began = time.time()
    path = operator.save()
    await until(began - 1, time.time())
    assert operator.run("restore", path, "replace").returncode == 0
    await until(0, 0)


class TestRehearsal:
    async def test_leaves_the_roles_as_they_are(self, operator: Operator) -> None:
        roles = """SELECT array_agg(ARRAY[rolname, rolpassword, rolcreatedb::text, setconfig::text] ORDER BY rolname)
            FROM pg_authid LEFT JOIN pg_db_role_setting ON setrole = pg_authid.oid AND setdatabase = 0
            WHERE rolname !~ '^pg_'"""
        of_before = await operator.sql(roles)
        await operator.sql(
            "ALTER ROLE zoo_api PASSWORD 'of today'; ALTER ROLE zoo_api SET statement_timeout = '9s';"
            "ALTER ROLE zoo_migrator PASSWORD 'of today' NOCREATEDB; ALTER ROLE zoo_monitor PASSWORD 'of today'"
        )
        before = await operator.sql(roles)
        assert before != of_before
        operator.environment["MONITOR_DATABASE_PASSWORD"] = "of the file"
        done = operator.run("rehearse")
        assert done.returncode == 0, done.stderr
        assert await operator.sql(roles) == before
        operator.server.grant_roles(DATABASE)  # for the other tests

    async def test_restores_beside_and_compares_the_rows_of_each_table(self, operator: Operator) -> None:
        path = operator.save()
        await operator.sql("INSERT INTO animals (name) VALUES ('Bahati')")
        of_extension = "CREATE TABLE units AS SELECT 1; ALTER EXTENSION plpgsql ADD TABLE units"
        operator.after_loading("zoo_restored", of_extension)
        done = operator.run("rehearse", path)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^ +4 +5  public.animals$", done.stdout, re.MULTILINE), done.stdout
        assert await operator.sql(DATABASES) == [DATABASE]
        assert operator.saved() == [Path(path).name]

    async def test_fails_if_a_row_was_not_restored(self, operator: Operator) -> None:
        """As if a trigger had dropped it."""
        operator.after_loading("zoo_restored", "DELETE FROM animals WHERE name = 'Amara'")
        done = operator.run("rehearse")
        assert (done.returncode, "other numbers of rows" in done.stderr) == (1, True), done.stderr
        await require_that_nothing_changed(operator)
