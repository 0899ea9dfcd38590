"""Whether rows share the values that are to be unique."""

from collections.abc import Sequence

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_online.sql.names import Node, quote, strings

SECONDS = 2


def unique_columns(node: Node) -> list[str] | None:
    """The columns that the index or constraint makes unique; None if it does not, or not for all rows of a column."""
    if isinstance(node, pg.Constraint):
        is_unique = node.contype in {pg.CONSTR_UNIQUE, pg.CONSTR_PRIMARY} and not node.indexname
        return strings(node.keys) or None if is_unique else None
    if isinstance(node, pg.IndexStmt) and node.unique and not node.HasField("where_clause"):
        names = [unwrap_node(param).name for param in node.index_params]
        return names if all(names) else None
    return None


def share(connection: Connection, table: str, columns: Sequence[str]) -> bool | None:
    """Whether two rows of `table`, which is quoted, have the same values in all columns.

    None if that is not known: it took longer than SECONDS, or the table is locked, or the values can't be compared.
    """
    names = ", ".join(quote(column) for column in columns)
    not_null = " AND ".join(f"{quote(column)} IS NOT NULL" for column in columns)
    query = f"SELECT 1 FROM {table} WHERE {not_null} GROUP BY {names} HAVING count(*) > 1 LIMIT 1"  # noqa: S608 - quoted
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{SECONDS}s'")
            connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
            found = connection.exec_driver_sql(query.replace("%", "%%")).first() is not None
            connection.exec_driver_sql("SET LOCAL statement_timeout = DEFAULT")
            connection.exec_driver_sql("SET LOCAL lock_timeout = DEFAULT")
            return found
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return None
