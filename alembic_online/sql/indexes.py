"""Indexes: built, dropped, rebuilt. Statements that drop them don't name the table."""

from collections.abc import Iterable, Iterator

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.effect import Effect, Work, unknown
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import Node, object_name, table_name
from alembic_online.sql.schema import Schema


def create_index(statement: pg.IndexStmt, schema: Schema) -> Iterator[Effect]:
    """CREATE INDEX."""
    table = table_name(statement.relation)
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if statement.concurrent else Lock.SHARE
    why = "an index is built, while reads and writes go on" if statement.concurrent else "an index is built"
    if table in schema.partitioned and not statement.relation.inh:
        yield Effect(table, lock, Work.NONE, "ON ONLY a partitioned table: it has no rows of its own")
        return
    yield Effect(table, lock, Work.BUILD, why)
    for child in schema.partitions(table):
        yield Effect(child, lock, Work.BUILD, f"an index is built, as a part of {table}")


def drop_index(statement: pg.DropStmt, schema: Schema) -> Iterator[Effect]:
    """DROP INDEX."""
    for node in statement.objects:
        index = object_name(node)
        lock = Lock.SHARE_UPDATE_EXCLUSIVE if statement.concurrent else Lock.ACCESS_EXCLUSIVE
        if schema.is_known and index not in schema.indexes:
            continue  # there is none
        for table in schema.with_partitions(table_of(index, schema)):
            yield Effect(table, lock, Work.NONE, "DROP INDEX locks the table, too")


def reindex(statement: pg.ReindexStmt, schema: Schema) -> Iterator[Effect]:
    """REINDEX."""
    online = has_option(statement.params, "concurrently")
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if online else Lock.ACCESS_EXCLUSIVE
    why = (
        "indexes are rebuilt, while reads and writes go on"
        if online
        else "writes wait, and reads, too: the planner needs the table's indexes for every query"
    )
    if statement.kind == pg.REINDEX_OBJECT_INDEX:
        yield Effect(table_of(table_name(statement.relation), schema), lock, Work.BUILD, why)
    elif statement.kind == pg.REINDEX_OBJECT_TABLE:
        table = table_name(statement.relation)
        for name in (table, *schema.partitions(table)):
            yield Effect(name, lock, Work.BUILD, why)
    else:
        scope = pg.ReindexObjectType.Name(statement.kind).removeprefix("REINDEX_OBJECT_").lower()
        yield Effect(f"(every table of the {scope})", lock, Work.BUILD, why)


def cluster(statement: pg.ClusterStmt, _: Schema) -> Iterator[Effect]:
    """CLUSTER."""
    if statement.HasField("relation"):
        yield Effect(
            table_name(statement.relation), Lock.ACCESS_EXCLUSIVE, Work.REWRITE, "CLUSTER rewrites the table in order"
        )
    else:
        yield unknown("every table that was clustered before", "CLUSTER rewrites them all")


def vacuum(statement: pg.VacuumStmt, schema: Schema) -> Iterator[Effect]:
    """VACUUM and ANALYZE."""
    is_full = statement.is_vacuumcmd and has_option(statement.options, "full")
    lock, work, why = (
        (Lock.ACCESS_EXCLUSIVE, Work.REWRITE, "VACUUM FULL rewrites the table")
        if is_full
        else (Lock.SHARE_UPDATE_EXCLUSIVE, Work.SCAN, "reads the table, while reads and writes go on")
    )
    relations = [found.relation for found in map(unwrap_node, statement.rels)]
    if not relations:
        yield Effect("(every table)", lock, work, why)
    for relation in relations:
        table = table_name(relation)
        for name in (table, *(schema.descendants(table) if relation.inh else ())):
            yield Effect(name, lock, work, why)


def table_of(index: str, schema: Schema) -> str:
    """The table of the index; a description, if it is not known."""
    return schema.indexes.get(index, f"(the table of index {index})")


def has_option(options: Iterable[Node], name: str) -> bool:
    """Whether an option such as CONCURRENTLY is given, and not switched off."""
    given = [option.arg for option in map(unwrap_node, options) if getattr(option, "defname", "") == name]
    return bool(given) and _is_on(unwrap_node(given[-1]))


def _is_on(value: Node) -> bool:
    """Whether an option's value means yes, as no value does. Source: Postgres's defGetBoolean."""
    if isinstance(value, pg.Integer):
        return bool(value.ival)
    return not (isinstance(value, pg.String) and value.sval.lower() in {"false", "off"})
