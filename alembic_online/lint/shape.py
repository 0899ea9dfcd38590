"""What the release at work would miss, or not expect."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from postgast import pg_query_pb2 as pg

from alembic_online.lint.drops import CONTRACT, Column, find_drops
from alembic_online.lint.finding import Problem
from alembic_online.lint.new_columns import find_new_columns
from alembic_online.lint.reading import ParsedStatement
from alembic_online.lint.renames import find_renames
from alembic_online.lint.rights import find_rights
from alembic_online.lint.sequences import find_sequences
from alembic_online.sql.names import table_name


def find_shape(parsed: ParsedStatement, given: AbstractSet[Column], *, is_contract: bool) -> Iterator[Problem]:
    """What is wrong with how one statement changes the shape of the schema; `given` are columns with a new default."""
    yield from find_renames(parsed)
    yield from find_new_columns(parsed)
    yield from find_sequences(parsed)
    yield from _inheritance(parsed, is_contract=is_contract)
    if not is_contract:
        yield from find_drops(parsed, given)
        yield from find_rights(parsed)


def _inheritance(parsed: ParsedStatement, *, is_contract: bool) -> Iterator[Problem]:
    for node, command in parsed.commands():
        if command.subtype not in {pg.AT_AddInherit, pg.AT_DropInherit}:
            continue
        child, parent = table_name(node.relation), table_name(getattr(command, "def").range_var)
        if command.subtype == pg.AT_AddInherit:
            yield Problem(
                "inherit",
                parsed.line,
                f"from then on the release at work finds the rows of {child} in {parent}, too: each of its queries, "
                f"UPDATEs and DELETEs of {parent} includes them",
                f"Keep the tables apart, or read both by a view; or create {child} with INHERITS, while it has no row; "
                "or say in a waiver why the release at work can work with it",
            )
        elif not is_contract:
            what = f"from then on the release at work no longer finds the rows of {child} in {parent}"
            yield Problem("inherit", parsed.line, what, CONTRACT)
