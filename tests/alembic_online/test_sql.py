"""The predicted effects of statements, and what Postgres really does: its locks, its files, its messages."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from alembic_online.sql import (
    Lock,
    NotUnderstood,
    Schema,
    Work,
    created_tables,
    dropped_tables,
    find_effects,
    renamed_tables,
)
from alembic_online.sql.apply import after
from alembic_online.sql.catalog import read_schema
from alembic_online.sql.expressions import NOT_VOLATILE, TYPES, VOLATILE
from alembic_online.sql.types import Type, parse_type
from local.postgres import SUPERUSER, Server
from tests.conftest import EMPTY, clone, drop, engine_for, superuser
from tests.each import each
from tests.python import HANGS

FOLDER = Path(__file__).parent / "sql"
# Statements that are compared with what Postgres does, one per line.
ALTER_TABLE, OTHERS, PARTITIONS, ROWS = (
    (FOLDER / f"{name}.sql").read_text().splitlines() for name in ("alter_table", "others", "partitions", "rows")
)
# Each with the lock that another session holds on the table, so that it waits.
WAITING = {
    "CREATE INDEX CONCURRENTLY x ON beasts (code)": "ROW EXCLUSIVE",
    "DROP INDEX CONCURRENTLY beasts_name": "ROW EXCLUSIVE",
    "REINDEX TABLE CONCURRENTLY beasts": "ROW EXCLUSIVE",
    "VACUUM beasts": "SHARE UPDATE EXCLUSIVE",
    "VACUUM FULL beasts": "ROW EXCLUSIVE",
}
LOCKS = """\
SELECT relation, mode FROM pg_locks WHERE locktype = 'relation' AND pid = $1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# All that can be locked, and its table; for an index, the table that it belongs to.
THERE = """\
SELECT c.oid, coalesce(indrelid, c.oid)::regclass::text AS name, relname, relkind IN ('r', 'm') AS has_rows,
    pg_relation_filenode(c.oid) AS file
FROM pg_class c JOIN pg_namespace ON pg_namespace.oid = relnamespace LEFT JOIN pg_index ON indexrelid = c.oid
WHERE nspname IN ('public', 'elsewhere') AND relkind IN ('r', 'p', 'v', 'm', 'S', 'i')
"""
# Postgres's messages about its work, which contain the name of the table or the constraint.
WORKS = {
    Work.SCAN: r'verifying table "(.*?)"|validating foreign key constraint',
    Work.BUILD: r'building index ".*?" on table "(.*?)"',
}
# Types of extensions; none is a domain.
EXTENSIONS = {"citext", "hstore"}
IS_WAITING = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"


@dataclass(frozen=True)
class Zoo:
    """A database with tables of every kind, and its schema."""

    server: Server
    name: str
    schema: Schema
    connect: Callable[[], AsyncConnection]


@asynccontextmanager
async def made(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[Zoo]:
    name = await clone(maintenance, EMPTY)
    connection = await superuser(server, name)
    await connection.execute((FOLDER / "tables.sql").read_text())
    await connection.close()
    engine = engine_for(server.url(SUPERUSER, name))
    async with engine.connect() as reading:
        schema = await reading.run_sync(read_schema)
    yield Zoo(server, name, schema, engine.connect)
    await drop(maintenance, name)


@pytest.fixture(scope="module")
async def zoo(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[Zoo]:
    async with made(server, maintenance) as zoo:
        yield zoo


@pytest.fixture(scope="module")
async def connection(zoo: Zoo) -> AsyncIterator[asyncpg.Connection]:
    connection = await superuser(zoo.server, zoo.name)
    yield connection
    await connection.close()


async def locks_of(pid: int, by: asyncpg.Connection, there: list[asyncpg.Record]) -> dict[str, Lock]:
    """The locks that a session holds or waits for: the strongest on each existing table, or on its indexes."""
    names = {row["oid"]: row["name"] for row in there}
    found: dict[str, Lock] = {}
    for relation, mode in await by.fetch(LOCKS, pid):
        if name := names.get(relation):
            found[name] = max(Lock.of_mode(mode), found.get(name, Lock.ACCESS_SHARE))
    return found


async def measured(connection: asyncpg.Connection, sql: str) -> tuple[dict[str, Lock], Work, set[str]]:
    """The statement's locks, its gravest work, and the tables that it rewrites."""
    there = await connection.fetch(THERE)
    said: list[str] = []

    def listener(_: object, message: object) -> None:
        said.append(str(message))

    connection.add_log_listener(listener)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SET LOCAL client_min_messages = debug1; SET LOCAL timezone = 'Europe/Berlin'")
        await connection.execute(sql)
        locks = await locks_of(connection.get_server_pid(), connection, there)
        files = {row["oid"]: row["file"] for row in await connection.fetch(THERE)}
    finally:
        await transaction.rollback()
        connection.remove_log_listener(listener)
    known = {row["relname"] for row in there}
    found = [(work, match[1]) for work, words in WORKS.items() for match in re.finditer(words, "\n".join(said))]
    rewritten = {row["name"] for row in there if row["has_rows"] and files.get(row["oid"], row["file"]) != row["file"]}
    return locks, gravest(work for work, table in found if table in {None, *known}), rewritten


def gravest(works: Iterable[Work]) -> Work:
    return max(works, key=lambda work: work.weight, default=Work.NONE)


@each("sql", [*ALTER_TABLE, *OTHERS, *PARTITIONS, *ROWS])
async def test_postgres_does_what_is_told_of(zoo: Zoo, connection: asyncpg.Connection, sql: str) -> None:
    effects = find_effects(sql, zoo.schema)
    locks, work, rewritten = await measured(connection, sql)
    assert {effect.table: effect.lock for effect in effects} == locks
    writes_anew = {Work.REWRITE, Work.ALL_ROWS} if sql.startswith("TRUNCATE") else {Work.REWRITE}
    assert {effect.table for effect in effects if effect.work in writes_anew} - zoo.schema.partitioned == rewritten
    # Of its scans, Postgres reports only those that check rows against a constraint.
    told = {Work.SCAN, Work.BUILD} if sql.startswith("ALTER TABLE") else {Work.BUILD}
    if not rewritten and sql not in ROWS:
        assert gravest(effect.work for effect in effects if effect.work in told) == work


@pytest.mark.parametrize("sql", ["INSERT INTO days_1 VALUES (1)", "UPDATE days_1 SET park = 3", "DELETE FROM days_1"])
async def test_a_session_that_does_not_know_the_bounds_of_a_partition_looks_at_its_table(zoo: Zoo, sql: str) -> None:
    new = await superuser(zoo.server, zoo.name)
    locks, _, _ = await measured(new, sql)
    await new.close()
    assert {effect.table: effect.lock for effect in find_effects(sql, zoo.schema)} == locks


@pytest.mark.parametrize("verb", ["CREATE TABLE new PARTITION OF stays", "ALTER TABLE stays ATTACH PARTITION stays_3"])
async def test_the_rows_of_a_default_partition_are_read_for_a_new_one(
    zoo: Zoo, connection: asyncpg.Connection, verb: str
) -> None:
    sql = f"{verb} FOR VALUES FROM (20) TO (30)"
    work = {effect.table: effect.work for effect in find_effects(sql, zoo.schema)}
    assert work["stays_rest_1"] is Work.SCAN
    with pytest.raises(asyncpg.CheckViolationError, match="default partition"):  # one of them belongs to it
        await connection.execute(sql)


@pytest.mark.parametrize(("sql", "held"), WAITING.items())
async def test_what_runs_in_no_transaction_asks_for_the_locks_that_are_told_of(
    server: Server, maintenance: asyncpg.Connection, sql: str, held: str
) -> None:
    async with made(server, maintenance) as zoo:  # a cancelled statement leaves invalid indexes
        connection, waiting = await superuser(server, zoo.name), await superuser(server, zoo.name)
        there = await connection.fetch(THERE)
        pid = waiting.get_server_pid()
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE beasts IN {held} MODE")
            running = asyncio.create_task(waiting.execute(sql))
            async with asyncio.timeout(HANGS):
                while not await connection.fetchval(IS_WAITING, pid):
                    await asyncio.sleep(0.01)
            locks = await locks_of(pid, connection, there)
            await connection.execute("SELECT pg_cancel_backend($1)", pid)
            with pytest.raises(asyncpg.QueryCanceledError):
                await running
        await waiting.close()
        await connection.close()
    assert {effect.table: effect.lock for effect in find_effects(sql, zoo.schema)} == locks


@pytest.fixture(scope="module")
async def reading(zoo: Zoo) -> AsyncIterator[AsyncConnection]:
    async with zoo.connect() as connection:
        yield connection


@pytest.mark.parametrize("sql", (FOLDER / "changes.sql").read_text().splitlines())
async def test_what_the_schema_is_after_a_statement_is_known(zoo: Zoo, reading: AsyncConnection, sql: str) -> None:
    try:
        await reading.exec_driver_sql(sql)
        there = await reading.run_sync(read_schema)
    finally:
        await reading.rollback()
    known = after(sql, zoo.schema)
    assert types(known) == types(there)
    assert never_null(known) == never_null(there)
    assert known.unproven == there.unproven
    assert known.checked >= there.checked
    if not re.search("CREATE TABLE|DROP COLUMN", sql):
        assert known.indexes == there.indexes
    assert set(known.foreign_keys) == set(there.foreign_keys)
    assert known.domains == there.domains


async def test_unique_columns_are_those_of_whole_indexes_on_columns(reading: AsyncConnection) -> None:
    try:
        for sql in (
            "CREATE UNIQUE INDEX ON beasts (pen, n) INCLUDE (size)",
            "CREATE UNIQUE INDEX ON beasts (born) WHERE n > 0",
            "CREATE UNIQUE INDEX ON beasts (born, lower(label))",
            "CREATE INDEX ON beasts (feeling)",
        ):
            await reading.exec_driver_sql(sql)
        schema = await reading.run_sync(read_schema)
    finally:
        await reading.rollback()
    assert schema.keys_of("beasts") == {frozenset({"id"}), frozenset({"code"}), frozenset({"pen", "n"})}
    assert schema.keys_of("days") == set()
    (effect,) = find_effects("UPDATE parks SET other = 1 WHERE name = 'a'", schema)[:1]
    assert effect.work is Work.ONE_ROW


async def test_an_index_is_attached_with_the_locks_that_are_told_of(
    server: Server, maintenance: asyncpg.Connection
) -> None:
    async with made(server, maintenance) as zoo:
        connection = await superuser(server, zoo.name)
        await connection.execute("CREATE INDEX whole ON ONLY days (park); CREATE INDEX part ON days_1 (park)")
        async with zoo.connect() as reading:
            schema = await reading.run_sync(read_schema)
        sql = "ALTER INDEX whole ATTACH PARTITION part"
        locks, _, _ = await measured(connection, sql)
        await connection.close()
    told = {effect.table: effect.lock for effect in find_effects(sql, schema)}
    assert told == locks | {"days": Lock.SHARE_UPDATE_EXCLUSIVE}  # on the index, which is no table of its own


def types(schema: Schema) -> dict[str, dict[str, Type]]:
    return {
        table: {column: parse_type(kind) for column, kind in columns.items()}
        for table, columns in schema.columns.items()
    }


def never_null(schema: Schema) -> set[tuple[str, str]]:
    return {
        (table, column)
        for table, columns in types(schema).items()
        for column in columns
        if schema.is_never_null(table, column)
    }


async def test_no_function_is_taken_for_less_volatile_than_it_is(connection: asyncpg.Connection) -> None:
    query = "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'"
    volatile = {row["proname"] for row in await connection.fetch(query)}
    assert not volatile & NOT_VOLATILE
    assert volatile >= VOLATILE


async def test_no_domain_is_taken_for_a_type_of_postgres(connection: asyncpg.Connection) -> None:
    query = "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype <> 'd'"
    assert {row["typname"] for row in await connection.fetch(query)} | EXTENSIONS >= TYPES


class TestWithoutADatabase:
    """The worst is assumed, and what is not known is reported."""

    @pytest.mark.parametrize(
        "sql",
        [
            "ALTER TABLE beasts ALTER COLUMN name TYPE text",
            "ALTER TABLE beasts ADD COLUMN x int DEFAULT something()",
            "ALTER TABLE beasts ADD COLUMN x text DEFAULT 'a' || ours.lower('B')",
        ],
    )
    def test_a_rewrite_is_assumed(self, sql: str) -> None:
        assert [(effect.table, effect.work) for effect in find_effects(sql)] == [("beasts", Work.REWRITE)]

    def test_a_scan_is_assumed(self) -> None:
        assert [effect.work for effect in find_effects("ALTER TABLE beasts ALTER n SET NOT NULL")] == [Work.SCAN]

    def test_a_type_that_may_be_a_domain_is_named(self) -> None:
        (effect,) = find_effects("ALTER TABLE beasts ADD COLUMN x mood")
        assert effect.work is Work.NONE
        assert effect.why == "x is added without touching a row, unless mood is a domain with constraints"

    @each(
        "sql, table, lock",
        [
            ("DROP INDEX s.ix", "(the table of index s.ix)", Lock.ACCESS_EXCLUSIVE),
            ("DROP INDEX CONCURRENTLY ix", "(the table of index ix)", Lock.SHARE_UPDATE_EXCLUSIVE),
            ("REINDEX INDEX ix", "(the table of index ix)", Lock.ACCESS_EXCLUSIVE),
            ("REINDEX INDEX CONCURRENTLY ix", "(the table of index ix)", Lock.SHARE_UPDATE_EXCLUSIVE),
            ("REINDEX SCHEMA s", "(every table of the schema)", Lock.ACCESS_EXCLUSIVE),
            ("ALTER TABLE t DROP CONSTRAINT fk", "(the table that fk refers to)", Lock.ACCESS_EXCLUSIVE),
            ("DROP TABLE t", "(the tables that t refers to)", Lock.ACCESS_EXCLUSIVE),
            ("ALTER DOMAIN d ADD CHECK (VALUE > 0)", "(the tables with a column of type d)", Lock.SHARE),
            ("VACUUM", "(every table)", Lock.SHARE_UPDATE_EXCLUSIVE),
        ],
    )
    def test_a_table_that_is_not_named_is_described(self, sql: str, table: str, lock: Lock) -> None:
        effect = find_effects(sql)[-1]
        assert (effect.table, effect.lock) == (table, lock)
        assert not effect.is_named

    @each(
        "sql, table",
        [
            ("DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$", "(whatever the DO block touches)"),
            ("DO LANGUAGE plpython3u 'pass'", "(whatever the DO block touches)"),
            ("DO 'BEGIN what; END'", "(whatever the DO block touches)"),
            ("DO $$ BEGIN PERFORM change_all(); END $$", "(whatever change_all() uses)"),
            ("SELECT ours.change()", "(whatever ours.change() uses)"),
            ("UPDATE t SET a = f(a) WHERE b", "(whatever f() uses)"),
            ("CALL p()", "(whatever p() uses)"),
            ("EXECUTE prepared", "(whatever EXECUTE touches)"),
            ("CREATE EXTENSION postgis", "(whatever CREATE EXTENSION touches)"),
            ("DROP TYPE mood CASCADE", "(whatever depends on the type mood)"),
            ("DROP TABLE t CASCADE", "(whatever depends on the table t)"),
            ("TRUNCATE t CASCADE", "(the tables that refer to them)"),
            ("CLUSTER", "(every table that was clustered before)"),
            ("ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b", "(every table in the tablespace a)"),
            ("ALTER TYPE pair ADD ATTRIBUTE x int", "(the tables of type pair)"),
        ],
    )
    def test_what_can_not_be_seen_is_unknown_and_the_worst(self, sql: str, table: str) -> None:
        (effect,) = (effect for effect in find_effects(sql) if effect.table == table)
        assert (effect.lock, effect.work) == (Lock.ACCESS_EXCLUSIVE, Work.UNKNOWN)

    def test_what_is_no_sql_is_not_understood(self) -> None:
        with pytest.raises(NotUnderstood, match="syntax error"):
            find_effects("ALTER TABLE beasts ADD COLUM")


class TestSeveralStatements:
    def test_have_one_effect_a_table_the_strongest_and_the_gravest(self) -> None:
        effects = find_effects("ALTER TABLE a ADD COLUMN x int; UPDATE a SET x = 1; SELECT * FROM a, b")
        assert [(effect.table, effect.lock, effect.work) for effect in effects] == [
            ("a", Lock.ACCESS_EXCLUSIVE, Work.ALL_ROWS),
            ("b", Lock.ACCESS_SHARE, Work.SCAN),
        ]
        assert effects[0].why == "changes every row; x is added without touching a row"

    def test_know_what_those_before_them_have_made(self) -> None:
        schema = Schema(is_known=True, columns={"a": {"b": "varchar(20)"}})
        effects = find_effects("ALTER TABLE a ADD CONSTRAINT c CHECK (b IS NOT NULL) NOT VALID", schema)
        schema = after("ALTER TABLE a ADD CONSTRAINT c CHECK (b IS NOT NULL) NOT VALID", schema)
        (effect,) = find_effects("ALTER TABLE a VALIDATE CONSTRAINT c; ALTER TABLE a ALTER b SET NOT NULL", schema)
        assert [effect.work for effect in effects] == [Work.NONE]
        assert effect.why.endswith("b is known to have no NULL")

    def test_do_nothing_to_a_table_that_one_of_them_creates(self) -> None:
        effects = find_effects("CREATE TABLE a (b int REFERENCES b); CREATE INDEX ON a (b); INSERT INTO a VALUES (1)")
        assert [(effect.table, effect.lock) for effect in effects] == [("b", Lock.SHARE_ROW_EXCLUSIVE)]

    def test_name_the_tables_that_they_create_drop_and_rename(self) -> None:
        sql = (
            'CREATE TABLE public.a (); CREATE TABLE "B" AS SELECT 1; SELECT 1 INTO c; CREATE VIEW d AS SELECT 1;'
            "DROP TABLE IF EXISTS e, s.f; ALTER TABLE g RENAME TO h; ALTER TABLE i SET SCHEMA s; DROP INDEX j"
        )
        assert created_tables(sql) == ["a", '"B"', "c", "d"]
        assert dropped_tables(sql) == ["e", "s.f"]
        assert renamed_tables(sql) == {"g": "h", "i": "s.i"}


class TestLock:
    @each("lock", Lock)
    async def test_is_taken_and_called_so_by_postgres(self, connection: asyncpg.Connection, lock: Lock) -> None:
        there = await connection.fetch(THERE)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE stranger IN {lock} MODE")
            assert await locks_of(connection.get_server_pid(), connection, there) == {"stranger": lock}

    async def test_conflicts_as_postgres_says(self, zoo: Zoo, connection: asyncpg.Connection) -> None:
        other = await superuser(zoo.server, zoo.name)
        for lock in Lock:
            refused = set()
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE stranger IN {lock} MODE")
                for wanted in Lock:
                    try:
                        await other.execute(f"BEGIN; LOCK TABLE stranger IN {wanted} MODE NOWAIT")
                    except asyncpg.LockNotAvailableError:
                        refused.add(wanted)
                    await other.execute("ROLLBACK")
            assert refused == lock.conflicts
        await other.close()

    def test_blocks_reads_or_writes(self) -> None:
        assert [lock for lock in Lock if lock.blocks_reads] == [Lock.ACCESS_EXCLUSIVE]
        assert [str(lock) for lock in Lock if lock.blocks_writes] == [
            "SHARE",
            "SHARE ROW EXCLUSIVE",
            "EXCLUSIVE",
            "ACCESS EXCLUSIVE",
        ]
