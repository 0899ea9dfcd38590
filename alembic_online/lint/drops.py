"""What a revision drops although the release at work may use it."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from postgast import pg_query_pb2 as pg

from alembic_online.lint.finding import Problem
from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql.names import object_name, quote, table_name
from alembic_online.sql.objects import object_of

Column = tuple[str, str]
"""A table and a column."""

# Kinds that no query misses once they are dropped; policies have the rule `rights`.
UNMISSED = {pg.OBJECT_INDEX, pg.OBJECT_STATISTIC_EXT, pg.OBJECT_POLICY, pg.OBJECT_PUBLICATION, pg.OBJECT_SUBSCRIPTION}
CONTRACT = (
    'Do it once no release that uses it is at work: in a revision with phase = "contract" and safe_from_release = the '
    "first release that does without it"
)


def columns_given_a_default(revision: list[ParsedStatement]) -> set[Column]:
    """The columns that get a default, or an identity, in the revision: their former default may be dropped."""
    return {
        (table_name(node.relation), command.name)
        for parsed in revision
        for node, command in parsed.commands()
        if command.subtype == pg.AT_AddIdentity or (command.subtype == pg.AT_ColumnDefault and command.HasField("def"))
    }


def find_drops(parsed: ParsedStatement, given: AbstractSet[Column]) -> Iterator[Problem]:
    """What one statement drops although the release at work may use it."""
    if dropped := " and ".join(_dropped(parsed, given)):
        yield Problem(
            "drop-in-expand", parsed.line, f"drops {dropped}, which the release at work may still use", CONTRACT
        )


def _dropped(parsed: ParsedStatement, given: AbstractSet[Column]) -> Iterator[str]:
    for node in parsed.nodes:
        if isinstance(node, pg.DropStmt) and node.remove_type not in UNMISSED:
            for dropped in node.objects:
                name = object_name(dropped)
                if name not in parsed.made and name.rpartition(".")[0] not in parsed.made:
                    yield object_of(node.remove_type, dropped)
    for node, command in parsed.commands():
        what = {
            pg.AT_DropColumn: "the attribute" if node.objtype == pg.OBJECT_TYPE else "the column",
            pg.AT_DropExpression: "the expression of",
            pg.AT_DropIdentity: "the identity of",
        }.get(command.subtype)
        is_given = (table_name(node.relation), command.name) in given
        if command.subtype == pg.AT_ColumnDefault and not (command.HasField("def") or is_given):
            what = "the default of"
        if what:
            yield f"{what} {table_name(node.relation)}.{quote(command.name)}"
