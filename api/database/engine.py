"""Access to Postgres: one engine per process, and the session of a request."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from api.database.errors import is_lost, is_stale
from api.database.pool import FairQueuePool
from api.database.pooler import POOLED, connect, is_open
from api.database.workers import seen
from api.errors import Unavailable
from api.settings import Settings
from stack_settings import DatabaseUrl

# The newest revision that this release of the api needs. /health/ready waits for it. It has to be an expand revision,
# because a contract revision, which takes something away, is applied after this release has been rolled out.
SCHEMA_REVISION = "88e0cc709787"

# A request's statements take milliseconds: the server cancels one that takes 3 s, the limit of the api's role
# (deploy/postgres), which frees its connection for others. Commands may take longer.
COMMAND_STATEMENT_TIMEOUT = "10s"

# Seconds after which the driver gives up by itself, if the server hangs and not even that error arrives.
COMMAND_TIMEOUT = 15

# If a server's machine is off, or the network drops packets, no packet is acknowledged, unlike those to a slow server:
# then the connection ends after 5 s. An idle connection is probed after 2 s. (On Linux; elsewhere, COMMAND_TIMEOUT
# ends it.) A URL may have others.
QUIET = {"keepalives_idle": 2, "keepalives_interval": 1, "tcp_user_timeout": 5000}

Transactions = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Begins a transaction: `async with transactions() as session`. Committed at its end, rolled back on any exception."""


def create_engine(
    settings: Settings, application_name: str = "api", pool_size: int | None = None, url: DatabaseUrl | None = None
) -> AsyncEngine:
    """An engine that connects when it is first used, so that the api starts while the database is down.

    Its sessions have the name `<application_name>@<release>`, behind a pooler `<application_name> pooled@<release>`,
    after the one in the URL, if any. It is the database's own, or another `url`.

    Its pool has `pool_size` connections, by default `database_pool_size`. A request that finds all of them in use
    waits `database_pool_timeout` seconds for one, then gets `sqlalchemy.exc.TimeoutError`; at once if too many wait.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=FairQueuePool,
        pool_size=pool_size or settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
        hide_parameters=True,  # they are personal data, and errors are logged
        connect_args={
            "async_creator_fn": _connect,
            "url": url or settings.database(),
            "timeout": settings.database_connect_timeout,
            "command_timeout": COMMAND_TIMEOUT,
            "application_name": f"{application_name}@{settings.release}",
            "pooled_name": f"{application_name} {POOLED}@{settings.release}",
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    event.listen(engine.sync_engine, "handle_error", _end_stale)
    return engine


async def _connect(url: DatabaseUrl, **options: Any) -> asyncpg.Connection:
    try:
        return await connect(url, quiet=QUIET, **options)
    except OSError as error:  # no such host, refused, timed out, another certificate
        raise Unavailable("The database can't be reached") from error


def _refuse_closed(connection: DBAPIConnection, *_: object) -> None:
    """Make the pool replace a connection that can't be used further."""
    if not is_open(connection.driver_connection):
        raise DisconnectionError


def _end_stale(context: ExceptionContext) -> None:
    """Make the pool replace a connection whose statements don't work any more."""
    if is_stale(context.original_exception) or is_lost(context.original_exception):
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
async def transactions_of_a_command(settings: Settings) -> AsyncIterator[Transactions]:
    """A command's transactions, on connections of its own."""
    engine = create_engine(settings, application_name="api command")

    @asynccontextmanager
    async def begin() -> AsyncIterator[AsyncSession]:
        async with create_sessionmaker(engine).begin() as session:
            await session.execute(text(f"SET LOCAL statement_timeout = '{COMMAND_STATEMENT_TIMEOUT}'"))
            yield session

    try:
        async with seen(engine, settings.release, "api command"):
            yield begin
    finally:
        await engine.dispose()


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncSession]:
    """A command's only transaction: committed at the end, rolled back on any exception."""
    async with transactions_of_a_command(settings) as begin, begin() as session:
        yield session
