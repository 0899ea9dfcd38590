"""The scratch database: beside the real one, on the same server, and dropped afterwards.

Guarantees: it is dropped however the block ends. If a killed rehearsal leaves one, the next rehearsal of the same
database drops it, but never one in use: each has a session in it from its first moment to its last. Only the migrator's
role can connect to it, because it may have rows of the real database.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import asyncpg
import structlog

from alembic_online.errors import ConfigurationError, LocksNotObtained
from alembic_online.postgres import fit
from alembic_online.runs.connection import LOOK, create_engine
from alembic_online.runs.lock import lock_key
from stack_settings import DatabaseUrl

# Held while a database is created and has no session yet, and during the search for leftovers.
LOCK_KEY = lock_key("alembic_online rehearsal")
LOCK_SECONDS, POLL_SECONDS = 60, 0.1
RANDOM_LENGTH = 12  # of the suffix of its name

log = structlog.get_logger(__name__)

# From an empty template, with the real one's properties that can't be changed later.
_CREATE = """\
SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L LOCALE_PROVIDER %s',
        $1::text, pg_encoding_to_char(encoding), datcollate, datctype, provider)
    || coalesce(' ' || provider || '_LOCALE ' || quote_literal(locale), '')
    || coalesce(' ICU_RULES ' || quote_literal(found->>'daticurules'), '')
FROM pg_database, to_jsonb(pg_database) found, coalesce(found->>'datlocale', found->>'daticulocale') locale,
    (VALUES ('c', 'libc'), ('i', 'icu'), ('b', 'builtin')) providers (letter, provider)
WHERE datname = current_database() AND letter = datlocprovider::text"""
_SETTINGS = """\
SELECT DISTINCT quote_ident(split_part(setting, '=', 1)) FROM pg_db_role_setting, unnest(setconfig) setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
AND setrole IN (0, current_user::regrole)"""
_LEFT = """\
SELECT datname FROM pg_database WHERE datdba = current_user::regrole AND datname ~ $1
AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE datid = pg_database.oid AND backend_type = 'client backend')"""

_GUESTS = """\
SELECT concat_ws(' ', usename, application_name, 'pid', pid) FROM pg_stat_activity
WHERE datname = $1 AND backend_type = 'client backend'"""
_SCHEMAS = "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


@asynccontextmanager
async def session(url: DatabaseUrl, **settings: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of the driver itself: for scripts, and for COPY."""
    async with create_engine(url, LOOK, **settings).connect() as connection:
        yield (await connection.get_raw_connection()).driver_connection


@asynccontextmanager
async def scratch_database(url: DatabaseUrl) -> AsyncIterator[DatabaseUrl]:
    """An empty database beside that of `url`, for as long as the block runs.

    ConfigurationError if the role may not create one.
    """
    name = fit(url.database, f"_rehearsal_{secrets.token_hex(RANDOM_LENGTH // 2)}")
    async with AsyncExitStack() as stack:
        async with session(url) as real:
            await _require_right(real)
            await _lock(real)
            await _drop_leftovers(real, name[:-RANDOM_LENGTH])
            stack.push_async_callback(_drop, url, name)
            await real.execute(await real.fetchval(_CREATE, name))
            scratch = replace(url, database=name)
            keeper = await stack.enter_async_context(session(scratch))
            await keeper.execute(f"REVOKE ALL ON DATABASE {_quote(name)} FROM PUBLIC")
            for setting in [row[0] for row in await real.fetch(_SETTINGS)]:
                with suppress(asyncpg.InsufficientPrivilegeError):  # only superusers may set it
                    await real.execute(f"ALTER DATABASE {_quote(name)} SET {setting} FROM CURRENT")
        yield scratch


async def _require_right(real: asyncpg.Connection) -> None:
    role, may = await real.fetchrow(
        "SELECT rolname, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    if not may:
        raise ConfigurationError(
            f"the role {role} may not create databases, but a rehearsal needs one: as a superuser run "
            f"ALTER ROLE {_quote(role)} CREATEDB"
        )


async def _lock(real: asyncpg.Connection) -> None:
    """Poll for the lock: CREATE INDEX CONCURRENTLY would wait for the snapshot of a waiting session (see lock.py)."""
    deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
    while not await real.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
        if asyncio.get_running_loop().time() > deadline:
            raise LocksNotObtained("another rehearsal takes too long to create its scratch database; run this again")
        await asyncio.sleep(POLL_SECONDS)


async def _drop_leftovers(real: asyncpg.Connection, prefix: str) -> None:
    pattern = f"^{re.escape(prefix)}[0-9a-f]{{{RANDOM_LENGTH}}}$"
    for name in [row[0] for row in await real.fetch(_LEFT, pattern)]:
        log.warning("dropping what an interrupted rehearsal has left", database=name)
        with suppress(asyncpg.ObjectInUseError, asyncpg.InvalidCatalogNameError):
            await real.execute(f"DROP DATABASE {_quote(name)}")


async def _drop(url: DatabaseUrl, name: str) -> None:
    """Drop it on a new connection, because the rehearsal's own may be what failed.

    Somebody's session that this role may not end is no failure of the rehearsal: the database is left to the next one,
    but empty.
    """
    try:
        async with session(url) as real:
            await _lock(real)  # an interrupted session that was creating it has ended then
            try:
                await real.execute(f"DROP DATABASE IF EXISTS {_quote(name)} WITH (FORCE)")
            except asyncpg.InsufficientPrivilegeError:
                guests = [row[0] for row in await real.fetch(_GUESTS, name)]
                await _empty(replace(url, database=name))
                log.warning(
                    "the scratch database is left, without rows: the next rehearsal drops it, when nobody is in it",
                    sessions=guests,
                    or_as_a_superuser=f"DROP DATABASE {_quote(name)} WITH (FORCE)",
                )
    except Exception:
        log.warning("the scratch database is left: the next rehearsal drops it", database=name)
        raise


async def _empty(scratch: DatabaseUrl) -> None:
    """Drop all of this role's schemas in it, and with them the copied rows."""
    async with session(scratch, lock_timeout="2s") as connection:
        for name in [row[0] for row in await connection.fetch(_SCHEMAS)]:
            await connection.execute(f"DROP SCHEMA {name} CASCADE")


def _quote(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
