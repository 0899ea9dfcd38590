"""Statements on whole tables and views: CREATE, DROP, RENAME, TRUNCATE, LOCK and the like."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql import partitions, rows
from alembic_online.sql.effect import Effect, Work, unknown
from alembic_online.sql.indexes import drop_index, table_of
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import object_name, object_parts, qualified, quote, relations, table_name
from alembic_online.sql.objects import ON_TABLE, kind_of, object_of
from alembic_online.sql.schema import Schema

RELATIONS = {
    pg.OBJECT_TABLE: "table",
    pg.OBJECT_VIEW: "view",
    pg.OBJECT_MATVIEW: "materialized view",
    pg.OBJECT_SEQUENCE: "sequence",
    pg.OBJECT_FOREIGN_TABLE: "foreign table",
}

Parts = Iterator[Effect]


def create_table(statement: pg.CreateStmt, schema: Schema) -> Parts:
    """CREATE TABLE: what it does to other tables."""
    elements = [unwrap_node(node) for node in statement.table_elts]
    columns = [element for element in elements if isinstance(element, pg.ColumnDef)]
    constraints = [element for element in elements if isinstance(element, pg.Constraint)]
    constraints += [unwrap_node(node) for column in columns for node in column.constraints]
    own = table_name(statement.relation)
    for constraint in constraints:
        if constraint.contype == pg.CONSTR_FOREIGN and table_name(constraint.pktable) != own:
            for name in schema.with_partitions(table_name(constraint.pktable)):
                yield Effect(name, Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, "REFERENCES adds triggers to it")
    for element in elements:
        if isinstance(element, pg.TableLikeClause):
            yield Effect(table_name(element.relation), Lock.ACCESS_SHARE, Work.NONE, "its columns are copied")
    for parent in relations(statement.inh_relations):
        if statement.HasField("partbound"):
            yield Effect(parent, Lock.ACCESS_EXCLUSIVE, Work.NONE, "gets a partition")
            yield from partitions.join(parent, None, schema)
        else:
            yield Effect(parent, Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "gets a table that inherits from it")


def create_view(statement: pg.ViewStmt, schema: Schema) -> Parts:
    """CREATE VIEW."""
    for effect in rows.query(statement.query, Schema()):
        if effect.work is not Work.UNKNOWN:  # nothing is called yet
            yield Effect(effect.table, Lock.ACCESS_SHARE, Work.NONE, "a view reads it")
    view = table_name(statement.view)
    if statement.replace and (view in schema.reads or not schema.is_known):
        yield Effect(view, Lock.ACCESS_EXCLUSIVE, Work.NONE, "a view is replaced")


def create_table_as(statement: pg.CreateTableAsStmt, schema: Schema) -> Parts:
    """CREATE TABLE AS, CREATE MATERIALIZED VIEW, SELECT INTO."""
    yield from rows.query(statement.query, schema)


def refresh(statement: pg.RefreshMatViewStmt, schema: Schema) -> Parts:
    """REFRESH MATERIALIZED VIEW."""
    view = table_name(statement.relation)
    if statement.concurrent:
        yield Effect(view, Lock.EXCLUSIVE, Work.ROWS, "rows that differ are changed, while reads go on")
    else:
        yield Effect(view, Lock.ACCESS_EXCLUSIVE, Work.REWRITE, "the view is rewritten")
    for source in schema.reads.get(view, ()):
        yield Effect(source, Lock.ACCESS_SHARE, Work.SCAN, f"is read for {view}")


def drop(statement: pg.DropStmt, schema: Schema) -> Parts:
    """DROP of anything."""
    kind, is_cascade = statement.remove_type, statement.behavior == pg.DROP_CASCADE
    if kind == pg.OBJECT_INDEX:
        yield from drop_index(statement, schema)
    elif kind in RELATIONS:
        for node in statement.objects:
            yield from _drop_relation(object_name(node), kind, is_cascade, schema)
    elif kind == pg.OBJECT_STATISTIC_EXT:
        for name in map(object_name, statement.objects):
            table = schema.statistics.get(name, f"(the table of statistics {name})")
            yield Effect(table, Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "statistics change the catalogs only")
    elif kind in ON_TABLE:
        for node in statement.objects:
            table = qualified(*object_parts(node)[:-1])
            yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"a {ON_TABLE[kind]} is dropped")
    elif is_cascade:
        names = " and ".join(object_of(kind, node) for node in statement.objects)
        yield unknown(f"whatever depends on {names}", "CASCADE drops what the statement does not name")


def _drop_relation(name: str, kind: int, is_cascade: bool, schema: Schema) -> Parts:
    if kind == pg.OBJECT_TABLE and schema.is_known and name not in schema.columns:
        return  # there is none
    yield Effect(name, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"the {RELATIONS[kind]} is dropped")
    if not schema.is_known and is_cascade:
        yield unknown(f"whatever depends on the {RELATIONS[kind]} {name}", "CASCADE drops what it does not name")
    if kind == pg.OBJECT_TABLE:
        yield from _drop_table(name, is_cascade, schema)
    for view, sources in schema.reads.items() if is_cascade else ():
        if name in sources:
            yield from _drop_relation(view, pg.OBJECT_VIEW, is_cascade, schema)


def _drop_table(name: str, is_cascade: bool, schema: Schema) -> Parts:
    if not schema.is_known:
        others = f"(the tables that {name} refers to)"
        yield Effect(others, Lock.ACCESS_EXCLUSIVE, Work.NONE, "each table that it refers to loses triggers")
    for table in (name, *schema.descendants(name)):
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, "the table is dropped")
        for key in schema.refers_to(table):
            for referred in () if key.is_part else schema.with_partitions(key.referred):
                yield Effect(referred, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"loses the triggers of {key.name}")
        for key in schema.foreign_keys_to(table) if is_cascade else ():
            yield Effect(key.table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"loses the foreign key {key.name}")
    for parent in schema.parents(name):
        if parent in schema.partitioned:
            yield Effect(parent, Lock.ACCESS_EXCLUSIVE, Work.NONE, "loses a partition")
            yield from partitions.widen_default(parent, name, schema)


def rename(statement: pg.RenameStmt, schema: Schema) -> Parts:
    """ALTER ... RENAME, of a table or a part of it."""
    kind = pg.ObjectType.Name(statement.rename_type).removeprefix("OBJECT_").lower().removeprefix("tab")
    name = table_name(statement.relation)
    if statement.rename_type == pg.OBJECT_INDEX:
        yield Effect(table_of(name, schema), Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "the index alone is locked")
        return
    if statement.relation_type == pg.OBJECT_TYPE or not statement.HasField("relation"):
        return
    table = table_of(name, schema) if name in schema.indexes else name
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"a {kind} is renamed")
    is_own = any((key.table, key.name) == (table, statement.subname) for key in schema.foreign_keys)
    if statement.rename_type in {pg.OBJECT_COLUMN, pg.OBJECT_TABCONSTRAINT} and statement.relation.inh and not is_own:
        for child in schema.descendants(table):
            yield Effect(child, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"a {kind} is renamed, as a part of {table}")


def set_schema(statement: pg.AlterObjectSchemaStmt, _: Schema) -> Parts:
    """ALTER ... SET SCHEMA."""
    if statement.object_type in RELATIONS:
        yield Effect(table_name(statement.relation), Lock.ACCESS_EXCLUSIVE, Work.NONE, "moves into another schema")


def truncate(statement: pg.TruncateStmt, schema: Schema) -> Parts:
    """TRUNCATE."""
    tables = relations(statement.relations)
    for table in tables:
        for name in (table, *schema.descendants(table)):
            yield Effect(name, Lock.ACCESS_EXCLUSIVE, Work.ALL_ROWS, "TRUNCATE removes every row")
    if statement.behavior != pg.DROP_CASCADE:
        return
    if not schema.is_known:
        yield unknown("the tables that refer to them", "TRUNCATE CASCADE removes every row of what refers to it, too")
    reached = list(tables)
    for table in reached:  # which grows
        for key in schema.foreign_keys:  # including those that are not enforced
            if key.referred == table and key.table not in reached:
                reached.append(key.table)
                yield Effect(key.table, Lock.ACCESS_EXCLUSIVE, Work.ALL_ROWS, f"TRUNCATE CASCADE follows {key.name}")


def lock(statement: pg.LockStmt, schema: Schema) -> Parts:
    """LOCK TABLE."""
    for node in statement.relations:
        relation = unwrap_node(node)
        assert isinstance(relation, pg.RangeVar)
        table = table_name(relation)
        children = schema.descendants(table) if relation.inh else ()
        for name in (table, *children, *schema.reads.get(table, ())):
            yield Effect(name, Lock(statement.mode), Work.NONE, "LOCK holds it until the end of the transaction")


def move_all(statement: pg.AlterTableMoveAllStmt, _: Schema) -> Parts:
    """ALTER TABLE ALL IN TABLESPACE."""
    of = kind_of(statement.objtype)
    yield unknown(f"every {of} in the tablespace {quote(statement.orig_tablespacename)}", f"each {of} is copied")
