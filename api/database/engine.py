"""The way to Postgres: one engine a process, and the session that a request works in."""

import asyncio
import socket
import sys
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

# The newest revision that this release of the api needs, and one that expands: what takes something away, a contract
# revision, is applied when this release is at work. /health/ready waits for it.
SCHEMA_REVISION = "3b8a500f1cd2"

# What a request asks of the database takes milliseconds: the server ends what takes so long, and its connection is free
# for others. Commands have what the api's role is given (deploy/postgres), 10 s.
STATEMENT_TIMEOUT = "3s"

# Where not even that answer arrives, because the server hangs, the driver gives up by itself, in seconds.
COMMAND_TIMEOUT = 15

# A server that is gone without a word, as its machine is off or the network drops packets, is told from one that is
# slow by its kernel, which confirms no packet: then the connection ends after 5 s, and an idle one is asked after 2 s.
# (Linux; elsewhere COMMAND_TIMEOUT does it.)
USER_TIMEOUT_MILLISECONDS = 5000
KEEPALIVE_IDLE_SECONDS = 2
KEEPALIVE_INTERVAL_SECONDS = 1

NAME_BYTES = 63  # of a session's name; Postgres would cut what is longer, too, and say so to each connection
VISIBLE_SECONDS = 1

Transactions = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Begins one: `async with transactions() as session`. Committed at its end, rolled back on any exception."""


def create_engine(
    settings: Settings, application_name: str = "api", pool_size: int | None = None, **server_settings: str
) -> AsyncEngine:
    """An engine that connects when it is first used, so that the api starts while the database is down.

    Its sessions have the name `<application_name>@<release>`: the migrator takes nothing away that a release uses whose
    sessions it sees.

    Its pool has `pool_size` connections, by default `database_pool_size`. A request that finds all of them in use
    waits `database_pool_timeout` seconds for one, then gets `sqlalchemy.exc.TimeoutError`; at once where too many wait.

    `server_settings` are Postgres's, for its sessions.
    """
    name = f"{application_name}@{settings.release}".encode()[:NAME_BYTES].decode(errors="ignore")
    engine = create_async_engine(
        settings.database(),
        poolclass=FairQueuePool,
        pool_size=pool_size or settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout,
        hide_parameters=True,  # they are personal data, and errors are logged
        connect_args={
            "async_creator_fn": _connect,
            "timeout": settings.database_connect_timeout,
            "command_timeout": COMMAND_TIMEOUT,
            "server_settings": {"application_name": name, **server_settings},
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    event.listen(engine.sync_engine, "handle_error", _end_stale)
    return engine


async def stay_visible(engine: AsyncEngine) -> None:
    """Have a connection of `engine`, as soon as there can be one and to the end, though no request needs it.

    The migrator takes nothing away that a release uses whose sessions it sees: one that is idle has to be seen, too.
    """
    while True:
        with suppress(Unavailable, *DATABASE_ERRORS):
            async with engine.connect():
                pass
        await asyncio.sleep(VISIBLE_SECONDS)


async def _connect(*args: Any, **options: Any) -> asyncpg.Connection:
    try:
        connection = await asyncpg.connect(*args, **options)
        _notice_silence(connection._transport.get_extra_info("socket"))  # noqa: SLF001 - asyncpg has no option for it
    except OSError as error:  # no such host, refused, timed out
        raise Unavailable("The database can't be reached") from error
    return connection


def _notice_silence(connected: socket.socket) -> None:
    if sys.platform == "linux" and connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MILLISECONDS)


def _refuse_closed(connection: DBAPIConnection, *_: object) -> None:
    """Have the pool replace a connection that the server has closed: the driver knows without a round trip."""
    if connection.driver_connection.is_closed():  # asyncpg's own
        raise DisconnectionError


def _end_stale(context: ExceptionContext) -> None:
    """Have the pool replace a connection whose session would go on with what it knows of an older schema."""
    if is_stale(context.original_exception):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False  # each of the others finds out by itself, if at all


def create_sessionmaker(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions whose objects can still be read after the commit: the response is made from them."""
    return async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def transaction(settings: Settings) -> AsyncIterator[AsyncSession]:
    """A command's session, on a connection of its own: committed at the end, rolled back on any exception."""
    engine = create_engine(settings, application_name="api command")
    try:
        async with create_sessionmaker(engine).begin() as session:
            yield session
    finally:
        await engine.dispose()
