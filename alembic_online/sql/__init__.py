"""What a SQL statement does to existing tables: which locks it takes, and whether it reads or rewrites them.

Guarantee: never a silent "nothing". Where facts are missing, the worst is assumed; what the statement does not show is
reported as unknown. A `Schema`, read from the database, makes both rarer.

Not covered: user-defined triggers, which a change of rows may fire.

effect         Effect, Work: what one statement does to one table
lock           Postgres's table locks, and which of them conflict
schema         facts of the database that a statement does not show
alter_table    ALTER TABLE, subcommand by subcommand; subcommands has those whose effect is always the same
constraints    constraints, added, validated and dropped
types          which changes of a column's type rewrite the table
expressions    which defaults are volatile
indexes        CREATE, DROP and REINDEX; VACUUM and CLUSTER
new_tables     the other statements on tables and views
attached       triggers, rules, policies, comments and the like
rows           INSERT, UPDATE, DELETE, MERGE, COPY, SELECT
keys           whether a condition names rows by their key
blocks         the statements in a DO block
dispatch       which module handles which statement
apply          what the schema is after a statement; mutable_schema has the details
catalog        the schema, read from a database
parse          the text, read by Postgres's parser: once, whoever asks
transactions   which statements block nobody for long, are refused in a transaction, or end it
names          as `regclass` prints them
"""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pg

from alembic_online.sql.apply import after_statement
from alembic_online.sql.dispatch import effects_of
from alembic_online.sql.effect import Effect, Work, strongest
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import Node, object_name, qualified, table_name
from alembic_online.sql.parse import NotUnderstood, parse
from alembic_online.sql.schema import ForeignKey, Schema
from alembic_online.sql.transactions import ends_transaction, is_online

__all__ = [
    "Effect",
    "ForeignKey",
    "Lock",
    "NotUnderstood",
    "Schema",
    "Work",
    "created_tables",
    "dropped_tables",
    "ends_transaction",
    "find_effects",
    "is_online",
    "renamed_tables",
]

NOTHING_KNOWN = Schema()


def find_effects(sql: str, schema: Schema = NOTHING_KNOWN) -> list[Effect]:
    """What the statement, or the statements, do to existing tables: one effect per table; NotUnderstood.

    A table that one of the statements creates has none.
    """
    found: list[Effect] = []
    new: set[str] = set()
    for statement in parse(sql):
        found += [effect for effect in effects_of(statement, schema) if effect.table not in new]
        if not getattr(statement, "if_not_exists", False):
            new |= set(_created(statement))
        schema = after_statement(statement, schema)
    return strongest(found)


def created_tables(sql: str) -> list[str]:
    """The tables and views that the statements create, in their order; also with IF NOT EXISTS."""
    return [name for statement in parse(sql) for name in _created(statement)]


def dropped_tables(sql: str) -> list[str]:
    """The tables that the statements drop, in their order."""
    return [
        object_name(node)
        for statement in parse(sql)
        if isinstance(statement, pg.DropStmt) and statement.remove_type == pg.OBJECT_TABLE
        for node in statement.objects
    ]


def renamed_tables(sql: str) -> dict[str, str]:
    """The tables that get another name or schema: old names to new names."""
    renamed = {}
    for statement in parse(sql):
        if isinstance(statement, pg.RenameStmt) and statement.rename_type == pg.OBJECT_TABLE:
            renamed[table_name(statement.relation)] = qualified(statement.relation.schemaname, statement.newname)
        if isinstance(statement, pg.AlterObjectSchemaStmt) and statement.object_type == pg.OBJECT_TABLE:
            renamed[table_name(statement.relation)] = qualified(statement.newschema, statement.relation.relname)
    return renamed


def _created(statement: Node) -> Iterator[str]:
    if isinstance(statement, pg.CreateStmt):
        yield table_name(statement.relation)
    elif isinstance(statement, pg.CreateForeignTableStmt):
        yield table_name(statement.base_stmt.relation)
    elif isinstance(statement, pg.CreateTableAsStmt):
        yield table_name(statement.into.rel)
    elif isinstance(statement, pg.ViewStmt):
        yield table_name(statement.view)
    elif isinstance(statement, pg.CreateSeqStmt):
        yield table_name(statement.sequence)
    elif isinstance(statement, pg.SelectStmt) and statement.HasField("into_clause"):
        yield table_name(statement.into_clause.rel)
