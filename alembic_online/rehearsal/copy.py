"""Fills the scratch database: the schema of the real one, Alembic's tables, and some rows."""

import asyncpg

from alembic_online.errors import ConfigurationError
from alembic_online.rehearsal.dump import OWN_TABLES, POST_DATA, PRE_DATA, PgDump
from alembic_online.rehearsal.sample import copy_rows, copy_sample, find_tables
from alembic_online.rehearsal.scratch import session
from alembic_online.runs.history import TABLE_NAME
from alembic_online.runs.retries import LOCK_TIMEOUT
from stack_settings import DatabaseUrl

# Not the table of backfills: one that was interrupted, or paused, is rehearsed from its start.
BOOKKEEPING = {("public", "alembic_version"), ("public", TABLE_NAME)}
# A user mapping gives access to another server, which a rehearsal must not reach.
OUT_OF_REACH = ("CREATE USER MAPPING",)
# The extension could not be created, or has the same comment by default.
NOT_NEEDED = ("COMMENT ON EXTENSION",)
POPULATED = """\
SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'm' AND relispopulated ORDER BY pg_class.oid"""
FOREIGN_SCHEMAS = """\
SELECT quote_ident(nspname) FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT has_schema_privilege(oid, 'CREATE')"""
OWNER = "SELECT nspowner::regrole::text FROM pg_namespace WHERE oid = to_regnamespace($1)"
MISSING = (
    asyncpg.UndefinedObjectError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)


async def copy_database(
    pg_dump: PgDump, url: DatabaseUrl, scratch: DatabaseUrl, sample: int
) -> tuple[dict[str, int], list[str]]:
    """Copy the database `url` into `scratch`; the number of rows by table, and what was left out.

    All of it is as of one moment. The real database is read in a transaction that can't write.
    """
    async with (
        session(url, default_transaction_read_only="on", lock_timeout=LOCK_TIMEOUT) as real,
        real.transaction(isolation="repeatable_read", readonly=True),
        session(scratch) as copy,
    ):
        snapshot = await real.fetchval("SELECT pg_export_snapshot()")
        left_out: list[str] = []
        await _run(copy, await pg_dump.section(url, PRE_DATA, snapshot), left_out)
        there = {(table.schema, table.name) for table in await find_tables(copy)}
        tables = [table for table in await find_tables(real) if (table.schema, table.name) in there]
        for table in tables:
            if (table.schema, table.name) in BOOKKEEPING:
                await copy_rows(real, copy, table)
        others = [table for table in tables if table.schema != "public" or table.name not in OWN_TABLES]
        rows = await copy_sample(real, copy, others, sample) if sample else {}
        await _copy_sequences(real, copy)
        await _run(copy, await pg_dump.section(url, POST_DATA, snapshot), left_out)
        await _run(copy, [f"REFRESH MATERIALIZED VIEW {name}" for (name,) in await real.fetch(POPULATED)], left_out)
        await _take_rights(real, copy)
    return rows, left_out


async def _take_rights(real: asyncpg.Connection, copy: asyncpg.Connection) -> None:
    """Take from the role, which owns the copy, the rights to create that it does not have in the real database."""
    role, database = await copy.fetchrow("SELECT quote_ident(current_user), quote_ident(current_database())")
    if not await real.fetchval("SELECT has_database_privilege(current_database(), 'CREATE')"):
        await copy.execute(f"REVOKE CREATE ON DATABASE {database} FROM {role}")
    for name in [row[0] for row in await real.fetch(FOREIGN_SCHEMAS)]:
        owner = await copy.fetchval(OWNER, name)
        if owner is not None:
            await copy.execute(f"REVOKE CREATE ON SCHEMA {name} FROM {owner}")


async def _run(copy: asyncpg.Connection, statements: list[str], left_out: list[str]) -> None:
    """Run them one by one, by the simple protocol; those that can't run are added to `left_out`, with the reason."""
    for statement in statements:
        first_line = statement.splitlines()[0]
        try:
            if statement.startswith(OUT_OF_REACH):
                left_out.append(f"{first_line}: a rehearsal must not reach another server")
            elif not statement.startswith(NOT_NEEDED):
                await copy.execute(statement)
        except asyncpg.InsufficientPrivilegeError as error:  # an extension, or default privileges of another role
            left_out.append(f"{first_line}: {_reason(error)}")
        except MISSING as error:
            if statement.startswith("SET "):  # of a pg_dump that is newer than the server
                continue
            if not left_out:  # otherwise what is missing was probably left out before
                raise _not_copied(first_line, error) from error
            left_out.append(f"{first_line}: {_reason(error)}")
        except asyncpg.PostgresError as error:
            raise _not_copied(first_line, error) from error


def _not_copied(statement: str, error: asyncpg.PostgresError) -> ConfigurationError:
    return ConfigurationError(f"the schema can't be copied: {_reason(error)} ({statement})")


def _reason(error: asyncpg.PostgresError) -> str:
    return str(error).splitlines()[0]


async def _copy_sequences(real: asyncpg.Connection, copy: asyncpg.Connection) -> None:
    for (name,) in await copy.fetch("SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences"):
        value, is_called = await real.fetchrow(f"SELECT last_value, is_called FROM {name}")  # noqa: S608 - it is quoted
        await copy.execute("SELECT setval($1::text::regclass, $2, $3)", name, value, is_called)
