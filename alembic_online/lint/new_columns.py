"""Columns whose type is wrong from the start: small keys, and json."""

from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.finding import Problem
from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql.names import strings, table_name

WIDTHS = {"int2", "int4", "smallserial", "serial", "serial2", "serial4"}


def find_new_columns(parsed: ParsedStatement) -> Iterator[Problem]:
    """What is wrong with the types of columns that one statement makes."""
    yield from _small_keys(parsed)
    for node in parsed.nodes:
        for table, column in _typed(node):
            if _type_of(column) == "json":
                yield Problem(
                    "json-column",
                    parsed.line,
                    f"{table}.{column.colname} is json: it has no equality, so that DISTINCT, GROUP BY and UNION of it "
                    "fail; no index finds anything in it; and it is parsed anew each time",
                    'Use postgresql.JSONB(), or sa.JSON().with_variant(postgresql.JSONB(), "postgresql")',
                )


def _type_of(column: pg.ColumnDef) -> str | None:
    """The type's name; None where a partition, or a table of a composite type, has only options for a column."""
    return next(reversed(strings(column.type_name.names)), None)


def _typed(node: Message) -> Iterator[tuple[str, pg.ColumnDef]]:
    """The columns that get a type, with their table."""
    if isinstance(node, pg.CreateStmt):
        for element in map(unwrap_node, node.table_elts):
            if isinstance(element, pg.ColumnDef):
                yield table_name(node.relation), element
    elif isinstance(node, pg.AlterTableStmt):
        for command in map(unwrap_node, node.cmds):
            definition = unwrap_node(getattr(command, "def"))
            if isinstance(definition, pg.ColumnDef):
                named = pg.ColumnDef(colname=definition.colname or command.name, type_name=definition.type_name)
                yield table_name(node.relation), named


def _small_keys(parsed: ParsedStatement) -> Iterator[Problem]:
    for node in parsed.nodes:
        if not isinstance(node, pg.CreateStmt):
            continue
        elements = [unwrap_node(found) for found in node.table_elts]
        columns = {found.colname: found for found in elements if isinstance(found, pg.ColumnDef)}
        keys = [
            strings(found.keys)
            for found in elements
            if isinstance(found, pg.Constraint) and found.contype == pg.CONSTR_PRIMARY
        ]
        keys += [
            [name]
            for name, column in columns.items()
            if any(c.contype == pg.CONSTR_PRIMARY for c in map(unwrap_node, column.constraints))
        ]
        # A key of several columns usually consists of other tables' keys, whose types it shares.
        for name in (key[0] for key in keys if len(key) == 1):
            if name in columns and _type_of(columns[name]) in WIDTHS:
                yield Problem(
                    "small-key",
                    parsed.line,
                    f"{name} runs out of numbers, at 2,147,483,647 or before, and a wider type then rewrites the table "
                    "while nobody can use it",
                    f'Use sa.Column("{name}", sa.BigInteger(), sa.Identity(always=True), primary_key=True)',
                )
