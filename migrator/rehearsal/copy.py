"""The scratch database, filled: the schema of the real one, what Alembic has to know, and some rows."""

import asyncpg
import structlog
from sqlalchemy import URL

from migrator.errors import ConfigurationError
from migrator.history import TABLE_NAME
from migrator.rehearsal.dump import OWN_TABLES, POST_DATA, PRE_DATA, PgDump
from migrator.rehearsal.sample import copy_rows, copy_sample, find_tables
from migrator.rehearsal.scratch import session
from migrator.run import LOCK_TIMEOUT

# Not the table of backfills: one that was interrupted, or held up, is rehearsed from its start.
BOOKKEEPING = {("public", "alembic_version"), ("public", TABLE_NAME)}
# A user mapping is the way to another server, which a rehearsal must not reach.
LEFT_OUT = ("CREATE USER MAPPING",)

log = structlog.get_logger(__name__)


async def copy_database(pg_dump: PgDump, url: URL, scratch: URL, sample: int) -> tuple[dict[str, int], list[str]]:
    """Copy what is at `url` into `scratch`: rows by table, and the statements that the role may not run.

    All of it as of one moment. The real database is read in a transaction that can't write.
    """
    async with (
        session(url, default_transaction_read_only="on", lock_timeout=LOCK_TIMEOUT) as real,
        real.transaction(isolation="repeatable_read", readonly=True),
        session(scratch) as copy,
    ):
        snapshot = await real.fetchval("SELECT pg_export_snapshot()")
        left_out = await _run(copy, await pg_dump.section(url, PRE_DATA, snapshot))
        tables = await find_tables(real)
        for table in tables:
            if (table.schema, table.name) in BOOKKEEPING:
                await copy_rows(real, copy, table)
        others = [table for table in tables if table.schema != "public" or table.name not in OWN_TABLES]
        rows = await copy_sample(real, copy, others, sample) if sample else {}
        await _copy_sequences(real, copy)
        left_out += await _run(copy, await pg_dump.section(url, POST_DATA, snapshot))
    return rows, left_out


async def _run(copy: asyncpg.Connection, statements: list[str]) -> list[str]:
    """Run them one by one, by the simple protocol; those that were left out."""
    left_out = []
    for statement in statements:
        first_line = statement.splitlines()[0]
        try:
            if statement.startswith(LEFT_OUT):
                left_out.append(first_line)
            else:
                await copy.execute(statement)
        except asyncpg.InsufficientPrivilegeError as error:  # an extension, or default privileges of another role
            log.warning("left out of the scratch database", statement=first_line, reason=str(error))
            left_out.append(first_line)
        except asyncpg.UndefinedObjectError as error:
            if not statement.startswith("SET "):  # of a pg_dump that is newer than the server
                raise _not_copied(statement, error, left_out) from error
        except asyncpg.PostgresError as error:
            raise _not_copied(statement, error, left_out) from error
    return left_out


def _not_copied(statement: str, error: Exception, left_out: list[str]) -> ConfigurationError:
    because = f"; left out before, for the role may not run it: {'; '.join(left_out)}" if left_out else ""
    return ConfigurationError(f"the schema can't be copied: {error} ({statement.splitlines()[0]}){because}")


async def _copy_sequences(real: asyncpg.Connection, copy: asyncpg.Connection) -> None:
    for (name,) in await copy.fetch("SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences"):
        value, is_called = await real.fetchrow(f"SELECT last_value, is_called FROM {name}")  # noqa: S608 - it is quoted
        await copy.execute("SELECT setval($1::text::regclass, $2, $3)", name, value, is_called)
