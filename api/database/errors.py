"""What can go wrong with the database, and what that means for a client."""

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.errors import Conflict, Detail, Unavailable, Unprocessable, ZooError

# What a statement can raise: SQLAlchemy's errors, the driver's, and those that both pass on unchanged. And what
# SQLAlchemy makes of the driver's errors while it opens a connection, when there is no statement yet.
DATABASE_ERRORS = (
    SQLAlchemyError,
    AsyncAdapt_asyncpg_dbapi.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
    TimeoutError,
)
CLOSED = (
    ConnectionError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # an answer that arrived while the connection was being closed
)
DATATYPE_MISMATCH = "42804"
NO_SUCH_STATEMENT = "26000"
QUERY_CANCELED = "57014"
SCHEMA_CHANGED = (asyncpg.InvalidCachedStatementError, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError)

_BY_SQLSTATE: dict[str, tuple[type[ZooError], Detail]] = {
    # undefined table, undefined column
    **dict.fromkeys(["42P01", "42703"], (Unavailable, "The schema is not the one that this release needs")),
    # foreign key violation
    "23503": (Conflict, "It refers to a record that does not exist, or another record refers to it"),
    # integrity constraint violation
    "23": (Conflict, "The change contradicts another one made at the same moment: read the record again"),
    # data exception
    "22": (Unprocessable, [{"type": "value", "loc": ["body"], "msg": "The database refuses a value"}]),
    # transaction rollback; object not in prerequisite state
    **dict.fromkeys(["40", "55"], (Unavailable, "The database was busy with a conflicting change")),
    # read-only SQL transaction: a standby, or a database made read-only; disk full. Not 507, which is about this
    # client's own data: Retry-After says all that clients and proxies can do.
    "25006": (Unavailable, "The database is read-only: nothing can be written now"),
    "53100": (Unavailable, "The database's disk is full: nothing can be written now"),
    NO_SUCH_STATEMENT: (Unavailable, "The connection pooler has lost a prepared statement"),
    QUERY_CANCELED: (Unavailable, "The database has taken too long: ask for less, or try again in a moment"),
    # connection; transaction state; login; catalog name; insufficient resources; operator intervention; system error
    **dict.fromkeys(["08", "25", "28", "3D", "53", "57", "58"], (Unavailable, "The database can't serve this now")),
}


def sqlstate(error: BaseException) -> str:
    """Postgres's code of an error; "" if the error is not Postgres's.

    Source of the codes: PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
    """
    return getattr(_cause(error), "sqlstate", None) or ""


def _cause(error: BaseException) -> BaseException:
    """The driver's error: `error` itself, or the one that SQLAlchemy has wrapped."""
    return getattr(error, "orig", None) or error


def unique_violation(error: BaseException) -> asyncpg.UniqueViolationError | None:
    """Postgres's error about a value that is not unique; None if `error` is another."""
    for found in (error, _cause(error), _cause(error).__cause__):
        if isinstance(found, asyncpg.UniqueViolationError):
            return found
    return None


def explain_database_error(error: Exception) -> ZooError | None:
    """The error for the client, with the database's as its cause; None if it is a fault of this code."""
    cause, state = _cause(error), sqlstate(error)
    found: tuple[type[ZooError], Detail]
    if isinstance(error, PoolTimeoutError):
        found = Unavailable, "The server is busy: no database connection was free in time"
    elif isinstance(cause, SCHEMA_CHANGED) or is_stale(error):
        found = Unavailable, "The schema has changed a moment ago"
    elif not is_lost(error) and (_is_closed(cause) or (isinstance(error, DBAPIError) and error.connection_invalidated)):
        found = Unavailable, "The database can't be reached"
    elif state in _BY_SQLSTATE or state[:2] in _BY_SQLSTATE:
        found = _BY_SQLSTATE.get(state) or _BY_SQLSTATE[state[:2]]
    else:
        return None
    explained = found[0](found[1])
    explained.__cause__ = error
    return explained


def is_stale(error: BaseException) -> bool:
    """Whether a trigger's plan is older than a column's type: the session keeps such a plan to its end."""
    return sqlstate(error) == DATATYPE_MISMATCH and "when preparing the plan" in str(_cause(error))


def is_lost(error: BaseException) -> bool:
    """Whether a prepared statement is not there: a pooler no longer keeps them for its clients."""
    return sqlstate(error) == NO_SUCH_STATEMENT


def is_away(error: BaseException) -> bool:
    """Whether the server can't be reached, or has ended the connection."""
    return isinstance(error, Unavailable) or _is_closed(_cause(error)) or sqlstate(error).startswith("57P")


def is_of_this_server(error: Exception) -> bool:
    """Whether another server, with the same data, could still run the statement: not if it is at fault, or too slow."""
    if sqlstate(error) == QUERY_CANCELED:
        return False
    return isinstance(error, Unavailable) or isinstance(explain_database_error(error), Unavailable)


def _is_closed(cause: BaseException) -> bool:
    # The driver's InterfaceError can also mean that code uses the driver wrongly.
    return isinstance(cause, CLOSED) or (isinstance(cause, asyncpg.InterfaceError) and "closed" in str(cause))


def reason_of(error: BaseException) -> str:
    """The error's message, in one line, without the data that its other lines may quote."""
    cause = _cause(error)
    return f"{type(cause).__name__}: {cause}".splitlines()[0].rstrip(": ")
