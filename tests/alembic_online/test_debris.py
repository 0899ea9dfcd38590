"""Which invalid indexes an interrupted statement has left, among others that it has nothing to do with."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from alembic_online.runs.connection import LOOK
from alembic_online.runs.debris import find_debris, rest_of
from local.postgres import SUPERUSER, Server
from tests.alembic_online.sessions import engine_of, look
from tests.conftest import EMPTY, clone, drop, engine_for, superuser
from tests.each import each

SMILE = "\N{GRINNING FACE}"
LONG, CLIPPED = "l" * 63, "l" * 57 + "_ccnew"  # 63 bytes are a name's longest
WIDE, WIDE_CLIPPED = "w" * 50 + SMILE * 2, "w" * 50 + SMILE + "_ccnew"  # 58 bytes, and 60: half of a letter is none
ALONE = "x" * 57 + "_ccnew"  # nothing has the name of which it would be a copy
TABLES = f"""
CREATE SCHEMA tours; CREATE SCHEMA hidden;
CREATE TABLE t (a int, b text);
CREATE INDEX ix ON t (a); CREATE INDEX ix_ccnew ON t (a); CREATE INDEX ix_ccold2 ON t (a);
CREATE INDEX broken ON t (a); CREATE INDEX also_broken ON t (a); CREATE INDEX no_copy_ccnew ON t (a);
CREATE INDEX fine ON t (a); CREATE INDEX fine_ccnew1 ON t (a);
CREATE TABLE "Long" (a int);
CREATE INDEX "{LONG}" ON "Long" (a); CREATE INDEX "{CLIPPED}" ON "Long" (a);
CREATE INDEX "{WIDE}" ON "Long" (a); CREATE INDEX "{WIDE_CLIPPED}" ON "Long" (a);
CREATE INDEX "{ALONE}" ON "Long" (a);
CREATE TABLE tours.g (a int);
CREATE INDEX ix ON tours.g (a); CREATE INDEX ix_ccnew ON tours.g (a); CREATE INDEX broken ON tours.g (a);
CREATE TABLE days (day int) PARTITION BY RANGE (day);
CREATE TABLE day_1 PARTITION OF days FOR VALUES FROM (0) TO (1);
CREATE INDEX ix_days ON days (day);
CREATE INDEX day_1_day_idx_ccnew ON day_1 (day);
CREATE TABLE foreign_ (a int);
CREATE INDEX ix_foreign ON foreign_ (a); CREATE INDEX ix_foreign_ccnew ON foreign_ (a);
CREATE TABLE hidden.h (a int);
CREATE INDEX ix_hidden ON hidden.h (a); CREATE INDEX ix_hidden_ccnew ON hidden.h (a);
UPDATE pg_index SET indisvalid = false
WHERE indexrelid::regclass::text ~ 'cc(new|old)|broken' AND indexrelid <> 'fine_ccnew1'::regclass;
ALTER TABLE t OWNER TO zoo_migrator; ALTER TABLE "Long" OWNER TO zoo_migrator;
ALTER TABLE tours.g OWNER TO zoo_migrator; ALTER TABLE days OWNER TO zoo_migrator;
ALTER TABLE day_1 OWNER TO zoo_migrator;
ALTER TABLE hidden.h OWNER TO zoo_migrator; GRANT USAGE ON SCHEMA tours TO zoo_migrator;
"""
COPIES = ["ix_ccnew", "ix_ccold2"]


@pytest.fixture(scope="module")
async def debris(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """A database with these tables, which no test changes."""
    name = await clone(maintenance, EMPTY)
    admin = await superuser(server, name)
    await admin.execute(TABLES)
    await admin.close()
    yield name
    await drop(maintenance, name)


@pytest.fixture(scope="module")
async def connection(server: Server, debris: str) -> AsyncIterator[AsyncConnection]:
    """The migrator's: nothing that is looked for changes what is there."""
    async with engine_of(server, debris, LOOK).connect() as connection:
        yield connection


@each(
    "sql, found",
    [
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS broken ON t (a)", ["broken"]),
        ("CREATE INDEX CONCURRENTLY broken ON tours.g (a)", ["tours.broken"]),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS fine ON t (a)", []),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS also_broken ON tours.g (a)", []),
        ("CREATE INDEX CONCURRENTLY broken ON no_such_table (a)", []),
        ("REINDEX INDEX CONCURRENTLY ix", COPIES),
        ("REINDEX INDEX CONCURRENTLY tours.ix", ["tours.ix_ccnew"]),
        ("REINDEX INDEX CONCURRENTLY fine", []),
        ("REINDEX INDEX CONCURRENTLY no_such_index", []),
        (f'REINDEX INDEX CONCURRENTLY "{LONG}"', [CLIPPED]),
        (f'REINDEX INDEX CONCURRENTLY "{WIDE}"', [f'"{WIDE_CLIPPED}"']),
        ("REINDEX INDEX CONCURRENTLY ix_days", ["day_1_day_idx_ccnew"]),
        ("REINDEX INDEX CONCURRENTLY day_1_day_idx", ["day_1_day_idx_ccnew"]),
        ("REINDEX TABLE CONCURRENTLY t", COPIES),
        ("REINDEX (CONCURRENTLY) TABLE tours.g", ["tours.ix_ccnew"]),
        ('REINDEX TABLE CONCURRENTLY "Long"', [f'"{WIDE_CLIPPED}"', CLIPPED]),
        ("REINDEX TABLE CONCURRENTLY days", ["day_1_day_idx_ccnew"]),
        ("REINDEX TABLE CONCURRENTLY foreign_", []),
        ("REINDEX SCHEMA CONCURRENTLY tours", ["tours.ix_ccnew"]),
        (
            "REINDEX SCHEMA CONCURRENTLY public",
            [f'"{WIDE_CLIPPED}"', "day_1_day_idx_ccnew", *COPIES, CLIPPED],
        ),
        ("REINDEX SCHEMA CONCURRENTLY hidden", []),
        (
            "REINDEX DATABASE CONCURRENTLY",
            [f'"{WIDE_CLIPPED}"', "day_1_day_idx_ccnew", *COPIES, CLIPPED, "tours.ix_ccnew"],
        ),
        ("REINDEX INDEX CONCURRENTLY ix; REINDEX INDEX CONCURRENTLY tours.ix", [*COPIES, "tours.ix_ccnew"]),
        ("REINDEX SYSTEM CONCURRENTLY", []),
        ("VACUUM t", []),
        ("ALTER TABLE t VALIDATE CONSTRAINT c", []),
    ],
)
async def test_it_is_what_this_very_statement_has_left(connection: AsyncConnection, sql: str, found: list[str]) -> None:
    assert sorted(await connection.run_sync(find_debris, sql)) == sorted(found)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "ALTER TABLE days DETACH PARTITION day_1 CONCURRENTLY",
        "ALTER TABLE days DETACH PARTITION day_1 CONCURRENTLY; SELECT 1",
        "VACUUM t; ALTER TABLE days DETACH PARTITION day_1 CONCURRENTLY",
        "ALTER TABLE t VALIDATE CONSTRAINT c",
    ],
)
async def test_a_detach_that_has_not_begun_and_what_is_more_than_one_is_left_as_it_is(
    connection: AsyncConnection, sql: str
) -> None:
    assert await connection.run_sync(rest_of, sql) == sql


async def test_of_what_an_interrupted_reindex_of_a_table_has_left_its_long_values_have_a_part(
    server: Server, empty_database: str
) -> None:
    """Their index is in another schema; it is found by the table."""
    admin = await superuser(server, empty_database)
    reader = await superuser(server, empty_database)
    await admin.execute("CREATE TABLE t (a text); CREATE INDEX ix ON t (a); ALTER TABLE t OWNER TO zoo_migrator")
    async with reader.transaction():
        await reader.execute("SELECT FROM t")
        await admin.execute("SET statement_timeout = '300ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await admin.execute("REINDEX TABLE CONCURRENTLY t")
    await reader.close()
    await admin.close()

    async with engine_for(server.url(SUPERUSER, empty_database)).connect() as connection:
        own, toast = sorted(await connection.run_sync(find_debris, "REINDEX TABLE CONCURRENTLY t"))
    assert re.fullmatch(r"ix_cc(new|old)", own)
    assert re.fullmatch(r"pg_toast\.pg_toast_\d+_index_cc(new|old)", toast)
    # Only who may use their schema may drop it.
    assert await look(server, empty_database, lambda found: find_debris(found, "REINDEX TABLE CONCURRENTLY t")) == [own]
