"""Renames and moves: the release at work looks for the old name."""

from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

from alembic_online.lint.backfill_calls import fill
from alembic_online.lint.calls import execute
from alembic_online.lint.finding import Problem
from alembic_online.lint.online_calls import sync_columns
from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql.names import object_name, qualified, quote, strings, table_name
from alembic_online.sql.objects import named, object_of

# Kinds whose names queries don't use.
UNUSED_NAMES = {
    pg.OBJECT_INDEX,
    pg.OBJECT_TABCONSTRAINT,
    pg.OBJECT_DOMCONSTRAINT,
    pg.OBJECT_TRIGGER,
    pg.OBJECT_RULE,
    pg.OBJECT_POLICY,
    pg.OBJECT_EVENT_TRIGGER,
    pg.OBJECT_PUBLICATION,
    pg.OBJECT_SUBSCRIPTION,
    pg.OBJECT_STATISTIC_EXT,
}
PARTS = {pg.OBJECT_COLUMN: "column", pg.OBJECT_ATTRIBUTE: "attribute"}
VIEWS = {pg.OBJECT_VIEW, pg.OBJECT_MATVIEW}


def find_renames(parsed: ParsedStatement) -> Iterator[Problem]:
    """What the release at work no longer finds after one statement."""
    for node in parsed.nodes:
        renamed = _renamed(node)
        if renamed and renamed[0] not in parsed.made:
            yield Problem(
                "rename",
                parsed.line,
                f"from then on the release at work no longer finds {renamed[1]}; before, the next one does not find "
                "the new name",
                f"Keep both for a while: {_both(node)}",
            )


def _renamed(node: Message) -> tuple[str, str] | None:
    """What is renamed, or moved to another schema: its name, and in words."""
    if isinstance(node, pg.RenameStmt) and node.rename_type not in UNUSED_NAMES:
        if node.rename_type in PARTS:
            name = table_name(node.relation)
            return name, f"the {PARTS[node.rename_type]} {name}.{quote(node.subname)}"
        return _moved(node, node.rename_type) or (node.subname, named(node.rename_type, node.subname))
    if isinstance(node, pg.AlterObjectSchemaStmt) and node.object_type not in UNUSED_NAMES:
        return _moved(node, node.object_type)
    if isinstance(node, pg.AlterEnumStmt) and node.old_val:
        name = qualified(*strings(node.type_name))
        return name, f"the value {_literal(node.old_val)} of the type {name}"
    return None


def _moved(node: pg.RenameStmt | pg.AlterObjectSchemaStmt, kind: int) -> tuple[str, str] | None:
    if node.HasField("relation"):
        return table_name(node.relation), named(kind, node.relation.schemaname, node.relation.relname)
    return (object_name(node.object), object_of(kind, node.object)) if node.HasField("object") else None


def _literal(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))


def _both(node: Message) -> str:
    """How to have both names."""
    if isinstance(node, pg.AlterEnumStmt):
        added = pg.AlterEnumStmt(type_name=node.type_name, new_val=node.new_val, new_val_is_after=True)
        return f"add the new value, {execute(added)}, and leave the old one"
    if isinstance(node, pg.RenameStmt) and node.rename_type == pg.OBJECT_COLUMN:
        if node.relation_type in VIEWS:
            return f"create a second view that has {quote(node.newname)}"
        return (
            f"a second column, {quote(node.newname)}, kept equal with "
            f"{sync_columns(node.relation, node.subname, node.newname)}, and filled with "
            f"{fill(node.relation, {node.newname: quote(node.subname)})}"
        )
    if (new := _name_of_view(node)) is not None:
        old = node.relation
        return f"the old one, and a view of the new name, {execute(f'CREATE VIEW {new} AS TABLE {table_name(old)}')}"
    return "create a second one with the new name"


def _name_of_view(node: Message) -> str | None:
    """The name of a view that can stand for a table or view that is renamed or moved."""
    if isinstance(node, pg.RenameStmt) and node.rename_type in {pg.OBJECT_TABLE, *VIEWS}:
        return qualified(node.relation.schemaname, node.newname)
    if isinstance(node, pg.AlterObjectSchemaStmt) and node.object_type in {pg.OBJECT_TABLE, *VIEWS}:
        return qualified(node.newschema, node.relation.relname)
    return None
