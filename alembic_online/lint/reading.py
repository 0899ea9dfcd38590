"""A revision's statements, parsed: what each does to tables that existed before the revision."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.models import schema_of
from alembic_online.project import Project
from alembic_online.revision_sql import RevisionStatement, read_statements
from alembic_online.sql import Effect, NotUnderstood, Schema, created_tables, find_effects, renamed_tables
from alembic_online.sql.blocks import Opaque, statements_of
from alembic_online.sql.names import object_name, qualified, strings, table_name
from alembic_online.sql.parse import parse

TYPES = (pg.CreateEnumStmt, pg.CompositeTypeStmt, pg.CreateDomainStmt, pg.CreateRangeStmt)


@dataclass
class Made:
    """What the revision itself has created so far: nobody else uses that yet."""

    names: set[str] = field(default_factory=set)
    """Tables, views, sequences, types."""
    indexes: dict[str, str] = field(default_factory=dict)
    """The table of each index."""


@dataclass(frozen=True)
class ParsedStatement:
    """A statement. `nodes` has its parse tree, and those of statements inside it, for example in a DO block."""

    statement: RevisionStatement
    nodes: list[Message]
    count: int
    """How many statements its text has."""
    effects: list[Effect]
    """The effects on what the revision did not create."""
    is_on_new_only: bool
    """Whether the revision created all that it touches."""
    made: frozenset[str]
    """What the revision has created by then."""
    error: str | None
    """Why it could not be read."""

    @property
    def line(self) -> int:
        """The line in the revision's file."""
        return self.statement.line

    @property
    def is_online(self) -> bool:
        """Whether it is a part of an online operation."""
        return self.statement.operation is not None

    def commands(self) -> Iterator[tuple[pg.AlterTableStmt, pg.AlterTableCmd]]:
        """The subcommands of ALTER TABLE, on tables that existed before."""
        for node in self.nodes:
            if isinstance(node, pg.AlterTableStmt) and table_name(node.relation) not in self.made:
                for command in map(unwrap_node, node.cmds):
                    assert isinstance(command, pg.AlterTableCmd)
                    yield node, command


def read_revision(project: Project, revision: str) -> list[ParsedStatement]:
    """The statements of the upgrade to `revision`; NotSql if they are not known before it runs."""
    made, models = Made(), schema_of(project.metadata)
    return [_parse(statement, made, models) for statement in read_statements(project, revision) if statement.sql]


def _parse(statement: RevisionStatement, made: Made, models: Schema) -> ParsedStatement:
    try:
        top = list(parse(statement.sql))
        effects = find_effects(statement.sql, _schema(statement, top, made, models))
    except NotUnderstood as error:
        return ParsedStatement(statement, [], 1, [], is_on_new_only=False, made=frozenset(made.names), error=str(error))
    nodes = [node for found in top for node in _with_inner(found)]
    _note(statement.sql, nodes, made)
    on_old = [effect for effect in effects if effect.table not in made.names]
    dropped = {name for node in nodes if isinstance(node, pg.DropStmt) for name in names_of(node)}
    is_on_new_only = bool(effects and not on_old) or bool(dropped and dropped <= made.names)
    return ParsedStatement(statement, nodes, len(top), on_old, is_on_new_only, frozenset(made.names), None)


def _schema(statement: RevisionStatement, nodes: list[Message], made: Made, models: Schema) -> Schema:
    """What is known without a database; of the models, which are of the newest revision, only what rows are."""
    columns = {
        table_name(node.relation): {command.name: statement.existing_type}
        for node in nodes
        if isinstance(node, pg.AlterTableStmt) and statement.existing_type
        for command in map(unwrap_node, node.cmds)
        if isinstance(command, pg.AlterTableCmd) and command.subtype == pg.AT_AlterColumnType
    }
    is_delete = any(isinstance(node, pg.DeleteStmt) for node in nodes)
    keys = models.foreign_keys if is_delete else ()
    return Schema(columns=columns, indexes=made.indexes, keys=models.keys, foreign_keys=keys)


def _with_inner(node: Message) -> Iterator[Message]:
    yield node
    if isinstance(node, pg.DoStmt):
        with suppress(Opaque, NotUnderstood):  # an effect reports that
            for sql in statements_of(node):
                for inner in parse(sql):
                    yield from _with_inner(inner)
    elif isinstance(node, pg.CreateSchemaStmt):
        yield from map(unwrap_node, node.schema_elts)
    elif isinstance(node, pg.ExplainStmt):
        yield unwrap_node(node.query)


def _note(sql: str, nodes: list[Message], made: Made) -> None:
    """Note what the statement creates. With IF NOT EXISTS, or OR REPLACE, it may have existed before."""
    if not any(getattr(node, "if_not_exists", False) or getattr(node, "replace", False) for node in nodes):
        made.names |= set(created_tables(sql))
    made.names |= {new for old, new in renamed_tables(sql).items() if old in made.names}
    for node in nodes:
        if isinstance(node, TYPES):
            made.names.add(_type_name(node))
        elif isinstance(node, pg.IndexStmt) and not node.if_not_exists:
            index = qualified(node.relation.schemaname, node.idxname)
            made.indexes[index] = table_name(node.relation)
            made.names.add(index)


def _type_name(node: Any) -> str:
    if isinstance(node, pg.CompositeTypeStmt):
        return table_name(node.typevar)
    if isinstance(node, pg.CreateDomainStmt):
        return qualified(*strings(node.domainname))
    return qualified(*strings(node.type_name))


def names_of(node: pg.DropStmt) -> list[str]:
    """The names in a DROP."""
    return [object_name(dropped) for dropped in node.objects]
