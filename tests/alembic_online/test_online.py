"""Statements that block nobody: their time limits, and what they leave behind when they are interrupted."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.util import await_
from structlog.testing import capture_logs

from alembic_online.runs.connection import RUN, create_engine
from alembic_online.runs.online import give_time, is_online
from alembic_online.settings import Settings
from alembic_online.sql import is_online as sql_is_online
from local.postgres import Server
from tests.each import each

TABLES = """
CREATE TABLE "Odd % :x"" name" (id int PRIMARY KEY, "a b" text);
INSERT INTO "Odd % :x"" name" VALUES (1, 'x'), (2, 'x');
ALTER TABLE "Odd % :x"" name" ADD CONSTRAINT "it's so" CHECK (id > 0) NOT VALID,
    ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
CREATE INDEX "Odd :i" ON "Odd % :x"" name" ("a b");
CREATE TABLE days (day int) PARTITION BY RANGE (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (1);
CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (1) TO (2);
CREATE TABLE tours.guides (name text);
CREATE MATERIALIZED VIEW names AS SELECT "a b", id FROM "Odd % :x"" name";
CREATE UNIQUE INDEX ON names (id)
"""
ODD = '"Odd % :x"" name"'
# Each is run by Postgres: it is no statement that only the parser accepts.
ONLINE = [
    f'/* a comment */ CREATE INDEX CONCURRENTLY ON {ODD} ("a b")',
    f'-- a comment; with a semicolon\ncreate\n  UNIQUE\tindex concurrently if not exists "i" on only {ODD} (id)',
    f'ALTER TABLE {ODD} VALIDATE CONSTRAINT "it\'s so" -- now',
    f'ALTER TABLE IF EXISTS ONLY {ODD} VALIDATE CONSTRAINT "it\'s so", VALIDATE CONSTRAINT positive',
    'REINDEX (CONCURRENTLY) INDEX "Odd :i"',
    'REINDEX (VERBOSE false, CONCURRENTLY on) INDEX "Odd :i"',
    f"REINDEX  TABLE /* all of it */ CONCURRENTLY public.{ODD};",
    "reindex schema concurrently tours",
    'DROP INDEX CONCURRENTLY IF EXISTS "Odd :i"',
    "ALTER TABLE days DETACH PARTITION days_1 CONCURRENTLY /* at last */",
    'refresh materialized view concurrently "names"',
    "VACUUM tours.guides",
    "VACUUM (FULL off, ANALYZE) tours.guides",
    "ANALYZE tours.guides, days",
]
OTHERS = [
    f'CREATE INDEX "CONCURRENTLY" ON {ODD} ("a b")',
    f"CREATE INDEX /* CONCURRENTLY */ i ON {ODD} (id)",
    'REINDEX (CONCURRENTLY off) INDEX "Odd :i"',
    'REINDEX (CONCURRENTLY 0) INDEX "Odd :i"',
    'REINDEX (CONCURRENTLY, CONCURRENTLY "FALSE") INDEX "Odd :i"',
    "VACUUM FULL tours.guides",
    "VACUUM (FULL 1) tours.guides",
    f'ALTER TABLE {ODD} VALIDATE CONSTRAINT "it\'s so", ADD wild bool',
    f"ALTER TABLE {ODD} ADD CHECK (id <> 3)",
    "ALTER TABLE days DETACH PARTITION days_2",
    "REFRESH MATERIALIZED VIEW names",
    "COMMENT ON TABLE days IS 'CREATE INDEX CONCURRENTLY a ON b (c)'",
    "SELECT 1",
]


@pytest.fixture
async def tables(database: str, admin: asyncpg.Connection) -> str:
    """A database with tables to work on."""
    await admin.execute(f"CREATE SCHEMA tours AUTHORIZATION zoo_migrator; SET ROLE zoo_migrator; {TABLES}")
    return database


async def work(server: Server, database: str, do: Callable[[Connection], Any]) -> Any:
    """Do it outside of transactions, on a connection as in a run."""
    url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()
    async with create_engine(url, RUN, lock_timeout="700ms", statement_timeout="9s").connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(give_time, 300)
        return await connection.run_sync(do)


async def test_an_online_statement_gets_time_however_it_is_written_and_no_other_one_does(
    server: Server, tables: str
) -> None:
    limits: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def look(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if statement in {*ONLINE, *OTHERS}:
            query = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
            raw = connection.connection.driver_connection  # past SQLAlchemy, and its listeners
            assert raw is not None
            limits[statement].append(tuple(await_(raw.fetchrow(query))))

    def run(connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", look)
        event.listen(connection, "after_cursor_execute", look)
        for sql in [*OTHERS, *ONLINE]:
            connection.exec_driver_sql(sql)

    await work(server, tables, run)
    usual, long = ("700ms", "9s"), ("5min", "0")
    assert limits == {sql: [long if sql in ONLINE else usual, usual] for sql in [*OTHERS, *ONLINE]}


@each("sql", [*ONLINE, *OTHERS])
def test_an_online_statement_is_one_by_its_own_text(sql: str) -> None:
    assert is_online(sql) == sql_is_online(sql) == (sql in ONLINE)


def test_a_text_that_is_no_sql_is_no_online_statement() -> None:
    assert not is_online("CREATE INDEX CONCURRENTLY what")
    assert not is_online("-- nothing")


async def test_an_index_that_an_interrupted_build_has_left_is_built_again(server: Server, tables: str) -> None:
    index = '"it\'s %s :x"'
    build = f'-- again\ncreate unique index /* ! */ concurrently if not exists {index} on {ODD} ("a b") -- now'

    def validity(connection: Connection) -> list[bool]:
        with pytest.raises(IntegrityError):
            connection.exec_driver_sql(build)
        connection.exec_driver_sql(f'UPDATE {ODD} SET "a b" = id')
        connection.exec_driver_sql(build)
        query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"
        return list(connection.exec_driver_sql(query, (index,)).scalars())

    with capture_logs() as log:
        assert await work(server, tables, validity) == [True]
    assert [(line["event"], line["index"]) for line in log] == [("dropping what an interrupted build has left", index)]


@pytest.mark.parametrize(
    "again",
    [
        "ALTER TABLE days DETACH PARTITION days_1 CONCURRENTLY",
        "alter table public.days detach partition days_1 finalize -- !",
    ],
)
async def test_a_detach_that_was_interrupted_is_finished_and_then_nothing_is_left_to_do(
    server: Server, tables: str, again: str
) -> None:
    """The session that interrupts it is one that has read the table, so that the second transaction has to wait."""
    reader = await asyncpg.connect(server.url("zoo_migrator", tables))

    def partitions(connection: Connection) -> list[str]:
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass('days')"
        return list(connection.exec_driver_sql(query).scalars())

    def interrupted(connection: Connection) -> list[bool]:
        raw = connection.connection.driver_connection  # past SQLAlchemy, and its listeners
        assert raw is not None
        with pytest.raises(asyncpg.LockNotAvailableError):
            await_(raw.execute("ALTER TABLE days DETACH PARTITION days_1 CONCURRENTLY"))
        return list(connection.exec_driver_sql("SELECT inhdetachpending FROM pg_inherits ORDER BY 1 DESC").scalars())

    async with reader.transaction():
        await reader.execute("SELECT FROM days")
        assert await work(server, tables, interrupted) == [True, False]
    await reader.close()
    for _ in range(2):
        with capture_logs() as log:
            await work(server, tables, lambda connection: connection.exec_driver_sql(again))
        assert [(line["event"], line["statement"]) for line in log] == [("an interrupted statement is finished", again)]
        assert await work(server, tables, partitions) == ["days_2"]


@pytest.mark.parametrize("partition", ["days_2", "guides", "no_such_table"])
async def test_what_is_no_partition_of_the_table_is_no_detach_that_was_interrupted(
    server: Server, tables: str, admin: asyncpg.Connection, partition: str
) -> None:
    """It is one of another table; in no schema of the search path; or does not exist."""
    await admin.execute("SET ROLE zoo_migrator; CREATE TABLE other (day int) PARTITION BY RANGE (day)")
    sql = f"ALTER TABLE other DETACH PARTITION {partition} CONCURRENTLY"
    with pytest.raises(ProgrammingError):
        await work(server, tables, lambda connection: connection.exec_driver_sql(sql))


@pytest.mark.parametrize(
    ("index", "again"),
    [
        ("Odd % :i", 'REINDEX INDEX CONCURRENTLY "tours"."Odd % :i"'),
        ("i" + "ä" * 31, "reindex (concurrently) table tours.guides -- now"),
        ("copied", "REINDEX SCHEMA CONCURRENTLY tours"),
    ],
)
async def test_what_an_interrupted_reindex_has_left_is_dropped(
    server: Server, tables: str, index: str, again: str
) -> None:
    def copies(connection: Connection) -> tuple[int, list[str]]:
        found = "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname LIKE '%_ccnew%'"
        connection.exec_driver_sql("INSERT INTO tours.guides VALUES ('x'), ('x')")
        for sql in (
            f'CREATE UNIQUE INDEX CONCURRENTLY "{index}" ON tours.guides (name)',
            'CREATE UNIQUE INDEX CONCURRENTLY "not a_ccnew" ON tours.guides (name)',
            f'REINDEX INDEX CONCURRENTLY tours."{index}"',
        ):
            with pytest.raises(IntegrityError):
                connection.exec_driver_sql(sql)
        connection.exec_driver_sql("DELETE FROM tours.guides")
        before = list(connection.exec_driver_sql(found).scalars())
        connection.exec_driver_sql(again)
        return len(before), list(connection.exec_driver_sql(found).scalars())

    assert await work(server, tables, copies) == (2, ["not a_ccnew"])


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_an_online_statement_that_fails_leaves_its_limits_to_no_other(
    server: Server, database: str, in_transaction: bool
) -> None:
    def work(connection: Connection) -> None:
        give_time(connection, 300)
        connection.exec_driver_sql("INSERT INTO animals (name) VALUES ('x')")
        connection.exec_driver_sql("ALTER TABLE animals ADD CONSTRAINT named CHECK (name <> 'x') NOT VALID")
        connection.commit()
        if not in_transaction:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(2):
            with pytest.raises(IntegrityError):
                connection.execute(text("ALTER TABLE animals VALIDATE CONSTRAINT named"))
            if in_transaction:
                connection.rollback()
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "700ms"
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "9s"

    url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()
    async with create_engine(url, RUN, lock_timeout="700ms", statement_timeout="9s").connect() as connection:
        await connection.run_sync(work)
