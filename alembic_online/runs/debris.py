"""What a statement has left behind when it was interrupted.

Guarantees: of invalid indexes, only those are found that the same CREATE INDEX or REINDEX CONCURRENTLY made when it ran
before, and that this role may drop. DETACH ... CONCURRENTLY, which can't be repeated, goes on where it was.
"""

from typing import Any

from postgast import pg_query_pb2 as pg
from sqlalchemy import Connection, text

from alembic_online.sql.names import quote, written_name
from alembic_online.sql.parse import parse
from alembic_online.sql.transactions import partition_commands

# An index is in the schema of its table.
_OF_NAME = text(
    "SELECT indexrelid::regclass FROM pg_index JOIN pg_class ON oid = indexrelid"
    " WHERE indrelid = to_regclass(:table) AND relname = :name AND NOT indisvalid"
)
# REINDEX builds a copy beside each index, or leaves the old one there, with these suffixes and perhaps a number. Long
# names are truncated to make room.
_SUFFIX = "'_cc(new|old)[0-9]*$'"
# Composed only of constants of this file.
_COPIES = (
    "SELECT copy.indexrelid::regclass FROM pg_index copy JOIN pg_class c ON c.oid = copy.indexrelid"  # noqa: S608
    f" WHERE NOT copy.indisvalid AND relname ~ {_SUFFIX} AND pg_has_role(relowner, 'USAGE')"
    " AND has_schema_privilege(relnamespace, 'USAGE') AND EXISTS (SELECT FROM pg_index own JOIN pg_class o"
    " ON o.oid = own.indexrelid WHERE own.indrelid = copy.indrelid AND {scope} AND CASE"
    f" WHEN octet_length(c.relname) < 60 THEN o.relname = regexp_replace(c.relname, {_SUFFIX}, '')"
    f" ELSE o.oid <> c.oid AND starts_with(o.relname, regexp_replace(c.relname, {_SUFFIX}, '')) END)"
)
_WITH_PARTS = "SELECT relid FROM pg_partition_tree(to_regclass(:name)) UNION SELECT to_regclass(:name)"
_WITH_TOAST = "own.indrelid IN (SELECT unnest(ARRAY[oid, reltoastrelid]) FROM pg_class WHERE {})"
_SCOPES = {
    pg.REINDEX_OBJECT_INDEX: f"own.indexrelid IN ({_WITH_PARTS})",
    pg.REINDEX_OBJECT_TABLE: _WITH_TOAST.format(f"oid IN ({_WITH_PARTS})"),
    pg.REINDEX_OBJECT_SCHEMA: _WITH_TOAST.format("relnamespace = to_regnamespace(:name)"),
    pg.REINDEX_OBJECT_DATABASE: "true",
}
_IS_PENDING = text(
    "SELECT inhdetachpending FROM pg_class LEFT JOIN pg_inherits ON inhrelid = oid"
    " WHERE oid = to_regclass(:partition) AND to_regclass(:table) IS NOT NULL AND (inhparent IS NULL"
    " OR inhparent = to_regclass(:table))"
)
NOTHING = "SELECT"


def rest_of(connection: Connection, sql: str) -> str:
    """What is left to do of this statement: all of it, unless it detaches a partition and was interrupted at that."""
    statements = parse(sql)
    detaches = [command for each in statements for command in partition_commands(each)]
    if len(statements) != 1 or len(detaches) != 1:
        return sql
    (statement,), (detached,) = statements, detaches
    names = {"table": written_name(statement.relation), "partition": written_name(detached.name)}
    found = connection.execute(_IS_PENDING, names).all()
    if not found or found[0][0] is False:
        return sql
    if found[0][0] is None:
        return NOTHING
    return f"ALTER TABLE {names['table']} DETACH PARTITION {names['partition']} FINALIZE"


def find_debris(connection: Connection, sql: str) -> list[str]:
    """The invalid indexes, as SQL, that these statements have left when they were interrupted; all say CONCURRENTLY."""
    return [index for statement in parse(sql) for index in _find(connection, statement)]


def _find(connection: Connection, statement: Any) -> list[str]:
    if isinstance(statement, pg.IndexStmt):
        named = {"table": written_name(statement.relation), "name": statement.idxname}
        return list(connection.scalars(_OF_NAME, named))
    if isinstance(statement, pg.ReindexStmt):
        scope = _SCOPES.get(statement.kind, "false")  # Postgres has no CONCURRENTLY for the others
        name = written_name(statement.relation) if statement.HasField("relation") else quote(statement.name)
        return list(connection.scalars(text(_COPIES.format(scope=scope)), {"name": name}))
    return []
