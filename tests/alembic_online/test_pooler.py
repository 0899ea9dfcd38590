"""What a pooler is told of: what statements returned before a run, and return no longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import asyncpg
import pytest
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import Connection
from structlog.testing import capture_logs

from alembic_online.runs import pooler as runs_pooler
from alembic_online.runs.connection import LOOK, create_engine
from alembic_online.runs.pooler import Pooler
from alembic_online.settings import Settings
from local.postgres import Server
from stack_settings import DatabaseUrl
from tests.alembic_online.zoo import ZOO

THERE = """
SET ROLE zoo_migrator;
CREATE TABLE t (a int, b varchar(9), c text, gone int, d int GENERATED ALWAYS AS IDENTITY);
ALTER TABLE t DROP COLUMN gone;
CREATE INDEX ix_b ON t (b);
CREATE TABLE parted (a int) PARTITION BY RANGE (a);
CREATE SEQUENCE counts;
CREATE VIEW v AS SELECT a FROM t;
CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
CREATE TYPE pair AS (x int, y int);
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION outs(OUT x int) LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION many() RETURNS SETOF int LANGUAGE sql AS 'SELECT 1'
"""
FIRST, *_ = ZOO.scripts.walk_revisions()
STEP = RevisionStep.upgrade_from_script(ZOO.scripts.revision_map, FIRST)
ADD = "ALTER TABLE t ADD COLUMN e text"


def url(server: Server, database: str) -> DatabaseUrl:
    return Settings(migration_database_url=server.url("zoo_migrator", database)).database()


@pytest.fixture
async def there(database: str, admin: asyncpg.Connection) -> str:
    await admin.execute(THERE)
    return database


async def run(server: Server, database: str, *statements: str, console: DatabaseUrl | None = None) -> Any:
    """The log of a run in which each of these is a revision, and of what is told after it."""
    pooler = Pooler(console)

    def migrate(connection: Connection) -> None:
        context = MigrationContext.configure(connection)
        steps = pooler.noting_what_is_returned(lambda *_: [STEP] * len(statements))
        for statement, _ in zip(statements, steps((), context), strict=True):
            connection.exec_driver_sql(statement)

    async with create_engine(url(server, database), LOOK).begin() as connection:
        await connection.run_sync(migrate)
    with capture_logs() as log:
        await pooler.tell(create_engine(url(server, database), LOOK))
    return log


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        (ADD, ["t"]),
        ("ALTER TABLE t DROP COLUMN c", ["t"]),
        ("ALTER TABLE t RENAME c TO e", ["t"]),
        ("ALTER TABLE t ALTER a TYPE bigint", None),
        ("ALTER TABLE t ALTER b TYPE varchar(12)", ["t"]),
        ('ALTER TABLE t ALTER c TYPE text COLLATE "C"', ["t"]),
        ("DROP VIEW v; ALTER TABLE t RENAME TO u", ["t", "v"]),
        ("CREATE OR REPLACE VIEW v AS SELECT a, c FROM t", ["v"]),
        ("DROP MATERIALIZED VIEW m", ["m"]),
        ("ALTER TABLE parted ADD COLUMN e text", ["parted"]),
        ("ALTER TYPE pair ADD ATTRIBUTE z int", ["pair"]),
        ("DROP FUNCTION f; CREATE FUNCTION f(int) RETURNS text LANGUAGE sql AS 'SELECT 1::text'", ["f(integer)"]),
        ("DROP FUNCTION outs; CREATE FUNCTION outs(OUT z int) LANGUAGE sql AS 'SELECT 1'", ["outs()"]),
        ("DROP FUNCTION many; CREATE FUNCTION many() RETURNS int LANGUAGE sql AS 'SELECT 1'", ["many()"]),
    ],
)
async def test_it_is_told_of_what_returns_something_else_or_is_gone(
    server: Server, there: str, statement: str, changed: list[str] | None
) -> None:
    if changed is None:  # the views are in the way
        statement, changed = f"DROP VIEW v; DROP MATERIALIZED VIEW m; {statement}", ["m", "t", "v"]
    [line] = await run(server, there, *statement.split("; "))
    assert line["event"] == "what statements return has changed: a pooler needs RECONNECT"
    assert line["changed"] == changed


async def test_it_is_told_of_nothing_else(server: Server, there: str) -> None:
    statements = (
        "INSERT INTO t (a, b) VALUES (1, 'x')",
        "ALTER TABLE t ALTER a SET DEFAULT 1, ALTER b SET NOT NULL",
        "DROP INDEX ix_b",
        "DROP SEQUENCE counts",
        "ALTER TABLE t ALTER d DROP IDENTITY",
        "CREATE TABLE u (a int)",
        "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 2'",
    )
    assert await run(server, there, *statements) == []


async def test_what_changed_with_the_first_revision_counts_whatever_follows(server: Server, there: str) -> None:
    [line] = await run(server, there, ADD, "INSERT INTO t (a) VALUES (1)")
    assert line["changed"] == ["t"]
    assert await run(server, there, "ALTER TABLE t ADD COLUMN g text", "ALTER TABLE t DROP COLUMN g") == []


async def test_a_run_without_revisions_tells_nothing(server: Server, there: str) -> None:
    assert await run(server, there) == []


@asynccontextmanager
async def silent(server: Server, *, logs_in: bool) -> AsyncIterator[int]:
    """The port of a server that answers nothing; with `logs_in`, only to what follows that."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(str(server.socket_dir / ".s.PGSQL.5432"))
        with closing(writer), closing(ours), suppress(ConnectionError):
            while data := await reader.read(65_536):
                if logs_in and not data.startswith(b"Q"):
                    ours.write(data)
                    writer.write(await theirs.read(65_536))

    listening = await asyncio.start_server(serve, "127.0.0.1")
    yield listening.sockets[0].getsockname()[1]
    listening.close()


class TestThatItCannotBeToldIsAWarning:
    """As in tests/processes/test_pooler.py, which has a real one."""

    def console(self, address: str) -> DatabaseUrl:
        found = Settings(migrator_pooler_url=address).migrator_pooler_url
        assert found is not None
        return found

    async def test_with_the_reason(self, server: Server, there: str) -> None:
        """It is Postgres itself, which has no such command."""
        [line] = await run(server, there, ADD, console=self.console(server.url("zoo_migrator", there)))
        assert (line["log_level"], line["event"]) == ("warning", "the pooler was not told: it needs RECONNECT")
        assert 'syntax error at or near "RECONNECT"' in line["reason"]

    async def test_and_its_answer_is_not_waited_for_for_long(
        self, server: Server, there: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs_pooler, "SECONDS", 0.5)
        async with silent(server, logs_in=True) as port, asyncio.timeout(30):
            address = f"postgresql://zoo_migrator@127.0.0.1:{port}/{there}?sslmode=disable"
            [line] = await run(server, there, ADD, console=self.console(address))
        assert (line["event"], line["reason"]) == ("the pooler was not told: it needs RECONNECT", "TimeoutError")

    async def test_nor_that_of_the_database(self, server: Server, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """That it does not answer may be why the run has failed."""
        monkeypatch.setattr(runs_pooler, "SECONDS", 0.2)
        pooler = Pooler(None)

        def note(connection: Connection) -> None:
            steps = pooler.noting_what_is_returned(lambda *_: [STEP])
            assert [*steps((), MigrationContext.configure(connection))] == [STEP]

        async with create_engine(url(server, there), LOOK).connect() as connection:
            await connection.run_sync(note)
        with capture_logs() as log:
            async with silent(server, logs_in=False) as port:
                away = f"postgresql://zoo_migrator@127.0.0.1:{port}/{there}?sslmode=disable"
                await pooler.tell(create_engine(Settings(migration_database_url=away).database(), LOOK))
        assert [line["reason"] for line in log] == ["TimeoutError"]
