"""What is attached to a table: triggers, rules, policies, comments, statistics, rights, publications; and domains."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.effect import Effect, Work
from alembic_online.sql.indexes import table_of
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import object_parts, qualified, relations, table_name
from alembic_online.sql.new_tables import RELATIONS
from alembic_online.sql.objects import ON_TABLE
from alembic_online.sql.schema import Schema

Parts = Iterator[Effect]


def trigger(statement: pg.CreateTrigStmt, schema: Schema) -> Parts:
    """CREATE TRIGGER."""
    table = table_name(statement.relation)
    for name in (table, *(schema.partitions(table) if statement.row else ())):
        yield Effect(name, Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, "a trigger affects later writes only")
    if statement.HasField("constrrel"):
        yield Effect(table_name(statement.constrrel), Lock.ACCESS_SHARE, Work.NONE, "a trigger names it")


def rule(statement: pg.RuleStmt, _: Schema) -> Parts:
    """CREATE RULE."""
    yield Effect(table_name(statement.relation), Lock.ACCESS_EXCLUSIVE, Work.NONE, "a rule changes later queries")


def policy(statement: pg.CreatePolicyStmt | pg.AlterPolicyStmt, _: Schema) -> Parts:
    """CREATE and ALTER POLICY."""
    yield Effect(table_name(statement.table), Lock.ACCESS_EXCLUSIVE, Work.NONE, "a policy changes later queries")


def comment(statement: pg.CommentStmt | pg.SecLabelStmt, schema: Schema) -> Parts:
    """COMMENT, and SECURITY LABEL."""
    parts = object_parts(statement.object)
    if statement.objtype == pg.OBJECT_INDEX:
        yield Effect(
            table_of(qualified(*parts), schema), Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "the index alone is locked"
        )
    if statement.objtype in {pg.OBJECT_COLUMN, pg.OBJECT_TABCONSTRAINT, *ON_TABLE}:
        parts = parts[:-1]
    elif statement.objtype not in RELATIONS:
        return
    is_of_table = statement.objtype in {*RELATIONS, pg.OBJECT_COLUMN}
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if is_of_table else Lock.ACCESS_SHARE
    yield Effect(qualified(*parts), lock, Work.NONE, "a comment changes the catalogs only")


def statistics(statement: pg.CreateStatsStmt, _: Schema) -> Parts:
    """CREATE STATISTICS."""
    for table in relations(statement.relations):
        yield Effect(table, Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "statistics change the catalogs only")


def grant(statement: pg.GrantStmt, _: Schema) -> Parts:
    """GRANT and REVOKE."""
    if statement.objtype in RELATIONS and statement.targtype == pg.ACL_TARGET_OBJECT:
        for table in relations(statement.objects):
            yield Effect(table, Lock.ACCESS_SHARE, Work.NONE, "rights change the catalogs only")


def publication(statement: pg.CreatePublicationStmt | pg.AlterPublicationStmt, _: Schema) -> Parts:
    """CREATE and ALTER PUBLICATION."""
    for node in statement.pubobjects:
        published = unwrap_node(node)
        assert isinstance(published, pg.PublicationObjSpec)
        if published.HasField("pubtable"):
            name = table_name(published.pubtable.relation)
            yield Effect(name, Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "a publication changes the catalogs only")


def domain(statement: pg.AlterDomainStmt, schema: Schema) -> Parts:
    """ALTER DOMAIN, which checks every column of that type."""
    name = qualified(*(part.string.sval for part in statement.type_name))
    definition = getattr(statement, "def").constraint
    adds = statement.subtype == "C" and not definition.skip_validation
    if not adds and statement.subtype not in {"O", "V"}:
        return
    users = [table for table, columns in schema.columns.items() if name in columns.values()]
    if not schema.is_known:
        users = [f"(the tables with a column of type {name})"]
    for table in users:
        yield Effect(table, Lock.SHARE, Work.SCAN, f"every row's {name} is checked")
