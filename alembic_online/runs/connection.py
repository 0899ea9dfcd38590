"""The migrator's connections to Postgres.

Guarantees: it waits for a database that is not up yet, but not for one that refuses it. It works only on a session of
its own (not a pooler's), only with the right to change the schema, and only where something can be written.
"""

import asyncio
import ssl
from typing import Any

import asyncpg
import structlog
from asyncpg.exceptions import TargetServerAttributeNotMatched
from sqlalchemy import pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from alembic_online.errors import ConfigurationError, DatabaseUnreachable
from stack_settings import DatabaseUrl, connect, session_name

# Names of sessions in Postgres: the one that a run works on, the one that holds its lock, those that only read.
RUN, LOCK, LOOK = "migrator", "migrator lock", "migrator look"
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0
CONNECT_SECONDS = 5
# cannot connect now (starting up, shutting down), too many connections
NOT_YET = {"57P03", "53300"}
PROTOCOL_VIOLATION = "08P01"
# undefined object, invalid parameter value: of a setting of the session
WRONG_OPTIONS = {"42704", "22023"}
POOLER = (
    "MIGRATION_DATABASE_URL leads to a connection pooler. A migration needs a session of its own, for its lock and its "
    "time-outs: give the address of Postgres itself"
)

log = structlog.get_logger(__name__)

_RIGHTS = text("SELECT current_user, current_schema(), has_schema_privilege(current_schema(), 'CREATE')")
_READ_ONLY = text("SELECT current_setting('transaction_read_only')::bool")  # on a standby, too


def create_engine(url: DatabaseUrl, application_name: str, **limits: str) -> AsyncEngine:
    """Connections with these limits (`lock_timeout`, `statement_timeout`); their statements don't outlive this process.

    If it dies, they end within half a second; if its machine or the network fails, within half a minute.
    """
    return create_async_engine(
        "postgresql+asyncpg://",
        poolclass=pool.NullPool,
        # Not by SET: that would begin a transaction around the whole run, which would never be committed.
        connect_args={
            "async_creator_fn": _connect,
            "url": url,
            "timeout": CONNECT_SECONDS,
            "defaults": {
                "jit": "off",  # it would add a second or two to the driver's own queries of the catalogs
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            },
            "settings": {
                "application_name": session_name(url, application_name),
                "client_connection_check_interval": "500ms",
                # Each statement sees what others have committed before it, and none fails because they have.
                "default_transaction_isolation": "read committed",
                **limits,
            },
        },
    )


async def _connect(url: DatabaseUrl, **options: Any) -> asyncpg.Connection:
    try:
        return await connect(url, **options)
    except ssl.SSLCertVerificationError as error:
        raise DatabaseRefused(
            f"the database does not prove that it is the right one: {error.verify_message}; see sslmode and sslrootcert"
        ) from error
    except (OSError, TargetServerAttributeNotMatched, asyncpg.ConnectionDoesNotExistError) as error:  # the last: closed
        raise DatabaseUnreachable(f"the database can't be reached: {error}") from error
    except asyncpg.PostgresError as error:
        if error.sqlstate in NOT_YET:
            raise DatabaseUnreachable(f"the database is not ready: {error}") from error
        if error.sqlstate == PROTOCOL_VIOLATION and "startup parameter" in str(error):
            raise ConfigurationError(POOLER) from error
        if error.sqlstate in WRONG_OPTIONS:
            raise ConfigurationError(f"MIGRATION_DATABASE_URL: options: {error}") from error
        raise DatabaseRefused(f"the database refuses the migrator: {error}") from error
    except asyncpg.InterfaceError as error:  # a way to log in that the driver does not know, say
        raise DatabaseRefused(f"the database refuses the migrator: {error}") from error


class DatabaseRefused(DatabaseUnreachable):
    """Wrong password, no such database: waiting would not help."""


async def wait_for_database(engine: AsyncEngine, seconds: float, *, to_write: bool = False) -> None:
    """Return when the database accepts this session, and, if asked for, what it writes.

    DatabaseUnreachable if it does not after `seconds`.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    pause = FIRST_PAUSE
    while True:
        try:
            async with engine.connect() as connection:
                await _require_own_session(connection)
                await _require_rights(connection)
                if to_write:
                    await _require_that_it_writes(connection)
        except DatabaseRefused:
            raise
        except DBAPIError as error:  # while nothing has begun
            raise DatabaseRefused(f"the database refuses the migrator: {error.orig}") from error
        except DatabaseUnreachable as error:
            if asyncio.get_running_loop().time() + pause > deadline:
                raise DatabaseUnreachable(f"{error} (waited {seconds:g} s)") from error
            if pause == FIRST_PAUSE:
                log.info("waiting for the database", reason=str(error), seconds=seconds)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return


async def _require_own_session(connection: AsyncConnection) -> None:
    """The server process that the protocol named on connecting has to be the one that runs the statements."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    try:
        serving = await connection.scalar(text("SELECT pg_backend_pid()"))
    except DBAPIError as error:
        raise ConfigurationError(f"{POOLER} ({error.orig})") from error
    if driver.get_server_pid() != serving:
        raise ConfigurationError(POOLER)


async def _require_that_it_writes(connection: AsyncConnection) -> None:
    if await connection.scalar(_READ_ONLY):
        raise DatabaseUnreachable("the database is read-only: default_transaction_read_only is on, or it is a standby")


async def _require_rights(connection: AsyncConnection) -> None:
    role, schema, may_create = (await connection.execute(_RIGHTS)).one()
    if schema is None:
        raise ConfigurationError(f"the search_path of the role {role} names no schema that it may use")
    if not may_create:
        raise ConfigurationError(
            f"the role {role} may not change the schema: use a role in MIGRATION_DATABASE_URL that may "
            f"(GRANT CREATE ON SCHEMA {schema} TO ...)"
        )
