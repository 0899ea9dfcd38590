"""What Postgres makes of an expression: `'{}'` is stored as `'{}'::jsonb`, `a <> 'b'` as `(a <> 'b'::text)`.

A temporary table with the columns of the real one gets the default, the check or the like, and the catalogs tell what
it has become. All is rolled back to a savepoint, and nothing is computed: `now()` is now() each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection
from sqlalchemy.exc import DBAPIError

NAME = "alembic_online_shadow"


@contextmanager
def shadow(connection: Connection, table: Any) -> Iterator[str]:
    """In the block, the name of a temporary table like `table`, as SQL."""
    name = f"pg_temp.{NAME}"
    with connection.begin_nested() as savepoint:
        real = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {NAME} (LIKE {real})")
        try:
            yield name
        finally:
            savepoint.rollback()


def stored_default(connection: Connection, column: Column[Any], default: str) -> str | None:
    """What Postgres stores for this default of an existing column; None if it refuses it."""
    quoted = connection.dialect.identifier_preparer.quote(column.name)
    with shadow(connection, column.table) as name:
        if not accepts(connection, f"ALTER TABLE {name} ALTER COLUMN {quoted} SET DEFAULT {default}"):
            return None
        return connection.exec_driver_sql(
            "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid"
            " AND attnum = adnum WHERE adrelid = to_regclass($1) AND attname = $2",
            (name, column.name),
        ).scalar()


def accepts(connection: Connection, statement: str) -> bool:
    """Whether Postgres executes the statement; if not, it leaves no trace."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement)
    except DBAPIError:
        return False
    return True
