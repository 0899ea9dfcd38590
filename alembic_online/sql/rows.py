"""INSERT, UPDATE, DELETE, MERGE, COPY, SELECT: which tables they read, and in which they change rows."""

from collections.abc import Iterable, Iterator

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.sql.effect import Effect, Work, unknown
from alembic_online.sql.expressions import opaque_functions
from alembic_online.sql.keys import names_rows
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import Node, table_name
from alembic_online.sql.schema import Schema

MERGED = {pg.CMD_UPDATE: "changes", pg.CMD_DELETE: "deletes"}
CHANGES = pg.InsertStmt | pg.UpdateStmt | pg.DeleteStmt | pg.MergeStmt


def query(statement: Node, schema: Schema) -> Iterator[Effect]:
    """Any statement that reads or changes rows, with all the queries in it."""
    with_names = {found.ctename for _, found in walk(statement) if isinstance(found, pg.CommonTableExpr)}
    written = {found.relation.location for _, found in walk(statement) if isinstance(found, CHANGES)}
    written |= {found.rel.location for _, found in walk(statement) if isinstance(found, pg.IntoClause)}
    for where, found in walk(statement):
        if isinstance(found, CHANGES):
            yield from _change(found, schema)
        elif isinstance(found, pg.SelectStmt) and found.locking_clause:
            yield from _locked(found.from_clause, with_names, schema)
        elif not isinstance(found, pg.RangeVar) or where == "locked_rels":
            continue
        elif found.location not in written and not _is_with(found, with_names):
            yield from _reading(table_name(found), schema)
    yield from _opaque(statement, schema)


def _opaque(statement: Node, schema: Schema) -> Iterator[Effect]:
    for name in opaque_functions(statement, schema):
        yield unknown(f"whatever {name}() uses", f"what the function {name} does is not known")


def copy(statement: pg.CopyStmt, schema: Schema) -> Iterator[Effect]:
    """COPY, in either direction."""
    if statement.is_from:
        yield Effect(table_name(statement.relation), Lock.ROW_EXCLUSIVE, Work.ADD_ROWS, "COPY FROM adds rows")
    elif statement.HasField("query"):
        yield from query(statement.query, schema)
    else:
        yield from _reading(table_name(statement.relation), schema)


def _is_with(relation: pg.RangeVar, names: set[str]) -> bool:
    return not relation.schemaname and relation.relname in names


def _reading(table: str, schema: Schema, lock: Lock = Lock.ACCESS_SHARE) -> Iterator[Effect]:
    yield Effect(table, lock, Work.SCAN, "reads rows")
    for source in () if table in schema.materialized else schema.reads.get(table, ()):
        yield from _reading(source, schema, lock)
    for child in schema.descendants(table):
        yield Effect(child, lock, Work.SCAN, f"reads rows, as a part of {table}")


def _locked(sources: Iterable[Node], with_names: set[str], schema: Schema) -> Iterator[Effect]:
    for source in sources:
        for _, found in walk(source):
            if isinstance(found, pg.RangeVar) and not _is_with(found, with_names):
                yield Effect(table_name(found), Lock.ROW_SHARE, Work.ROWS, "locks the rows that it reads")
                for child in schema.descendants(table_name(found)):
                    yield Effect(child, Lock.ROW_SHARE, Work.ROWS, "locks the rows that it reads")


def _change(statement: Node, schema: Schema) -> Iterator[Effect]:
    table = table_name(statement.relation)
    work, why = _work(statement, schema)
    columns = None
    if isinstance(statement, pg.UpdateStmt):
        columns = {unwrap_node(target).name for target in statement.target_list}
    elif isinstance(statement, pg.DeleteStmt):
        columns = set()
    yield Effect(table, Lock.ROW_EXCLUSIVE, work, why)
    for parent in () if isinstance(statement, pg.DeleteStmt) else schema.parents(table):
        yield Effect(parent, Lock.ACCESS_SHARE, Work.NONE, f"its partition bounds for {table} are read")
    if not isinstance(statement, pg.InsertStmt) and statement.relation.inh:
        for child in schema.descendants(table):
            yield Effect(child, Lock.ROW_EXCLUSIVE, work, f"{why}, as a part of {table}")
    yield from _foreign_keys(table, columns, schema)


def _work(statement: Node, schema: Schema) -> tuple[Work, str]:
    if isinstance(statement, pg.InsertStmt):
        if statement.on_conflict_clause.action != pg.ONCONFLICT_UPDATE:
            return Work.ADD_ROWS, "adds rows"
        is_listed = len(statement.select_stmt.select_stmt.values_lists) > 0
        return (Work.ONE_ROW, "changes the rows that it lists") if is_listed else (Work.ROWS, "changes existing rows")
    if isinstance(statement, pg.MergeStmt):
        return _merged({clause.command_type for clause in map(unwrap_node, statement.merge_when_clauses)})
    verb = "changes" if isinstance(statement, pg.UpdateStmt) else "deletes"
    if not statement.HasField("where_clause"):
        return Work.ALL_ROWS, f"{verb} every row"
    if names_rows(statement, schema.keys_of(table_name(statement.relation))):
        return Work.ONE_ROW, f"{verb} the rows that it names by their key"
    return Work.ROWS, f"{verb} the matching rows"


def _merged(kinds: set[int]) -> tuple[Work, str]:
    if verbs := [verb for kind, verb in MERGED.items() if kind in kinds]:
        return Work.ROWS, f"{' or '.join(verbs)} the matching rows"
    return (Work.ADD_ROWS, "adds rows") if pg.CMD_INSERT in kinds else (Work.NONE, "changes no row")


def _foreign_keys(table: str, columns: set[str] | None, schema: Schema) -> Iterator[Effect]:
    """What Postgres's own triggers look up; `columns` are the changed ones, None for all."""
    for key in schema.refers_to(table):
        if columns is None or columns & set(key.columns):
            yield Effect(key.referred, Lock.ROW_SHARE, Work.NONE, f"the foreign key {key.name} looks rows up there")
    for key in schema.referred_by(table):
        if columns == set():
            if key.changes_on_delete:
                yield Effect(key.table, Lock.ROW_EXCLUSIVE, Work.ROWS, f"the foreign key {key.name} changes rows there")
            else:
                yield Effect(key.table, Lock.ROW_SHARE, Work.NONE, f"the foreign key {key.name} looks rows up there")
