"""A connection pooler between the api and Postgres: whether there is one, and whether it keeps statements apart.

Behind a pooler in transaction mode, each transaction may run in another session of Postgres, which other clients use,
too. Statements that are prepared by name then work only if the pooler gives them names of its own, and prepares them
where they are missing, as PgBouncer does from 1.21 on with `max_prepared_statements`.

Guarantees: each new connection finds out, so that the api notices at the latest with its next one that a pooler's
configuration has changed; behind a pooler that passes names on, no connection is opened. And no statement of another
client is ever executed: our names are like no others', and no statement goes without a name, which all clients share.

What tells: the process that Postgres announces on connecting is the one that executes statements, unless there is a
pooler. And a statement is among those of Postgres's session under the name that we gave it, unless the pooler has given
it another. Neither depends on which of its connections a pooler happens to choose.
"""

import asyncio
import math
import random
import time
from typing import Any
from uuid import uuid4

import asyncpg
import structlog

import stack_settings
from api.errors import Unavailable
from stack_settings import DatabaseUrl, session_name

# Sessions of a pooler keep the name of the client that they served last, so theirs is not the name that the migrator
# looks for; see api/database/workers.py.
POOLED = "pooled"

# Each statement sees what was committed before it, whatever the database's own default is: what may not change before
# the transaction ends is locked. In `repeatable read`, all but one of several changes at once would fail instead.
ISOLATION = "read committed"

# Seconds for which a connection to a pooler is used, at most. One that is replaced lets its clients go to the new one,
# which they do when they connect again; it has longer than this to stop (deploy/swarm/pgbouncer.yml).
POOLED_SECONDS = 60.0

log = structlog.get_logger(__name__)

_NEEDS_NAMES = (
    "The connection pooler does not keep the prepared statements of its clients apart: it needs PgBouncer 1.21 or "
    "later, with pool_mode = transaction and max_prepared_statements = 200"
)
_NEEDS_ISOLATION = (
    "Behind a connection pooler, the default_transaction_isolation of the api's role has to be 'read committed', and "
    "it is '{}': ALTER ROLE ... IN DATABASE ... RESET default_transaction_isolation, and run "
    "deploy/postgres/10-roles.sh again"
)
_LOOK = (
    "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1) AS is_passed_on,"
    " current_setting('default_transaction_isolation') AS isolation"
)


class Connection(asyncpg.Connection):
    """A connection whose statements have names that no other connection's have.

    `ends_at` is the time of the monotonic clock from which on another one takes its place.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._names, self._number = uuid4().hex, 0
        self.ends_at = math.inf

    def _get_unique_id(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}_{self._names}_{self._number:x}"


async def connect(
    url: DatabaseUrl, *, timeout: float, application_name: str, pooled_name: str, **options: Any
) -> asyncpg.Connection:
    """A connection with the session's name `application_name`, or `pooled_name` behind a pooler, after that in the URL.

    Unavailable if the pooler can't be used. `options` are those of `stack_settings.connect`.
    """
    connection = await stack_settings.connect(
        url,
        timeout=timeout,
        settings={"application_name": session_name(url, pooled_name)},
        connection_class=Connection,
        max_cacheable_statement_size=0,  # no limit: a longer one would have no name
        **options,
    )
    try:
        async with asyncio.timeout(timeout):
            if not await _is_set_up(connection, session_name(url, application_name)):
                await _require_usable(connection)
                # Those that were opened together do not all end at the same moment.
                connection.ends_at = time.monotonic() + POOLED_SECONDS * random.uniform(0.8, 1)  # noqa: S311
    except BaseException:
        connection.terminate()
        raise
    return connection


def is_open(connection: Any, seconds: float = 0) -> bool:
    """Whether it can be used, and begun to be used in so many seconds: the driver knows if the server has closed it."""
    return not connection.is_closed() and time.monotonic() + seconds < connection.ends_at


async def _is_set_up(connection: asyncpg.Connection, application_name: str) -> bool:
    """Set up the session, if it is this connection's own; False if it is a pooler's: then the role's settings apply."""
    name, pid = application_name.replace("\\", r"\\").replace("'", "''"), connection.get_server_pid()
    done = await connection.execute(
        f"SELECT set_config('application_name', E'{name}', false),"
        f" set_config('default_transaction_isolation', '{ISOLATION}', false) WHERE pg_backend_pid() = {pid}"
    )
    return bool(done == "SELECT 1")


async def _require_usable(connection: asyncpg.Connection) -> None:
    """Unavailable, after it is logged what to change, if a pooler's sessions can't be used."""
    name, isolation = f"is_passed_on_{uuid4().hex}", ISOLATION
    try:
        async with connection.transaction():
            statement = await connection.prepare(_LOOK, name=name)
            is_passed_on, isolation = await statement.fetchrow(name)
            if is_passed_on:
                await connection.execute(f'DEALLOCATE "{name}"')
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if "statement pooling mode" not in str(error):  # PgBouncer's, in which there are no transactions
            raise
        is_passed_on = True
    if not is_passed_on and isolation == ISOLATION:
        return
    reason = _NEEDS_NAMES if is_passed_on else _NEEDS_ISOLATION.format(isolation)
    log.error("the pooler can't be used", reason=reason)
    raise Unavailable(reason)
