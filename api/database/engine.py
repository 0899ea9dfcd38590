"""Access to Postgres: one engine per process, and the session of a request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from api.database.errors import DATABASE_ERRORS, is_stale
from api.database.pool import FairQueuePool
from api.errors import Unavailable
from api.settings import Settings
from postgres_url import DatabaseUrl, connect, session_name

# The newest revision that this release of the api needs. /health/ready waits for it. It has to be an expand revision,
# because a contract revision, which takes something away, is applied after this release has been rolled out.
SCHEMA_REVISION = "1d122c4cabd6"

# A request's statements take milliseconds: the server cancels one that takes this long, which frees its connection for
# others. Commands have the limit of the api's role (deploy/postgres), 10 s.
STATEMENT_TIMEOUT = "3s"

# Seconds after which the driver gives up by itself, if the server hangs and not even that error arrives.
COMMAND_TIMEOUT = 15

# If a server's machine is off, or the network drops packets, no packet is acknowledged, unlike those to a slow server:
# then the connection ends after 5 s. An idle connection is probed after 2 s. (On Linux; elsewhere, COMMAND_TIMEOUT
# ends it.) A URL may have others.
QUIET = {"keepalives_idle": 2, "keepalives_interval": 1, "tcp_user_timeout": 5000}

# Each statement sees what was committed before it, whatever the database's own default is: what may not change before
# the transaction ends is locked. In `repeatable read`, all but one of several changes at once would fail instead.
ISOLATION = {"default_transaction_isolation": "read committed"}

VISIBLE_SECONDS = 1

Transactions = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Begins a transaction: `async with transactions() as session`. Committed at its end, rolled back on any exception."""


def create_engine(
    settings: Settings, application_name: str = "api", pool_size: int | None = None, **server_settings: str
) -> AsyncEngine:
    """An engine that connects when it is first used, so that the api starts while the database is down.

    Its sessions have the name `<application_name>@<release>`, after the one in the URL, if any: while the migrator sees
    sessions of a release, it takes nothing away that the release uses.

    Its pool has `pool_size` connections, by default `database_pool_size`. A request that finds all of them in use
    waits `database_pool_timeout` seconds for one, then gets `sqlalchemy.exc.TimeoutError`; at once if too many wait.

    `server_settings` are Postgres's, for its sessions, where the URL's `options` have no others.
    """
    url = settings.database()
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=FairQueuePool,
        pool_size=pool_size or settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
        hide_parameters=True,  # they are personal data, and errors are logged
        connect_args={
            "async_creator_fn": _connect,
            "url": url,
            "timeout": settings.database_connect_timeout,
            "command_timeout": COMMAND_TIMEOUT,
            "defaults": server_settings,
            "settings": {
                "application_name": session_name(url, f"{application_name}@{settings.release}"),
                **ISOLATION,
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    event.listen(engine.sync_engine, "handle_error", _end_stale)
    return engine


async def stay_visible(engine: AsyncEngine) -> None:
    """Keep a connection of `engine` open, from the first moment possible, even if no request needs it.

    While the migrator sees sessions of a release, it takes nothing away that the release uses: so an idle release has
    to have a session, too.
    """
    while True:
        with suppress(Unavailable, *DATABASE_ERRORS):
            async with engine.connect():
                pass
        await asyncio.sleep(VISIBLE_SECONDS)


async def _connect(url: DatabaseUrl, **options: Any) -> asyncpg.Connection:
    try:
        return await connect(url, quiet=QUIET, **options)
    except OSError as error:  # no such host, refused, timed out, another certificate
        raise Unavailable("The database can't be reached") from error


def _refuse_closed(connection: DBAPIConnection, *_: object) -> None:
    """Make the pool replace a connection that the server has closed: the driver knows without a round trip."""
    if connection.driver_connection.is_closed():  # asyncpg's own
        raise DisconnectionError


def _end_stale(context: ExceptionContext) -> None:
    """Make the pool replace a connection whose session still uses what it has cached of an older schema."""
    if is_stale(context.original_exception):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False  # the others find out by themselves, if at all


def create_sessionmaker(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions whose objects can still be read after the commit, because the answer is made from them."""
    return async_sessionmaker(engine, expire_on_commit=False)


async def driver_of(session: AsyncSession) -> asyncpg.Connection:
    """The driver's connection of a session: statements that it runs are in the session's transaction."""
    driver = (await (await session.connection()).get_raw_connection()).driver_connection
    assert driver is not None
    return driver


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncSession]:
    """A command's session, on a connection of its own: committed at the end, rolled back on any exception."""
    engine = create_engine(settings, application_name="api command")
    try:
        async with create_sessionmaker(engine).begin() as session:
            yield session
    finally:
        await engine.dispose()
