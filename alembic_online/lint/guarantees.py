"""Guarantees that a revision takes from the release at work: unique columns, and checks."""

from collections.abc import Iterator, Sequence

from alembic.util import to_tuple
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

from alembic_online.lint.calls import call, execute
from alembic_online.lint.drops import CONTRACT
from alembic_online.lint.earlier import Known, Names, kind_by_name, known_before, note
from alembic_online.lint.finding import Problem
from alembic_online.lint.reading import ParsedStatement
from alembic_online.project import Project
from alembic_online.sql.names import object_name, strings, table_name

CHECK = "check"
KINDS = {CHECK, "primary key", "unique constraint", "unique index"}
# The operations by which a revision drops a constraint or an index for good; None: no online operation.
FOR_GOOD = {None, "drop_constraint_online", "drop_index_online"}


def find_lost_guarantees(project: Project, revision: str, statements: Sequence[ParsedStatement]) -> Iterator[Problem]:
    """The keys and checks that an expand revision drops, without another one in their place."""
    if not any(_dropped(node) for parsed in statements for node in parsed.nodes):
        return  # so that the earlier revisions need not be read
    known = known_before(project, revision)
    script = project.scripts.get_revision(revision)
    recent = {revision, *to_tuple(script and script.down_revision, default=())}
    for parsed in statements:
        for node in parsed.nodes:
            dropped = _dropped(node) if parsed.statement.operation in FOR_GOOD else []
            for table, name in dropped:
                lost = _known(known, table, name) or _by_name(project, parsed, table, name)
                if lost is None or lost.kind not in KINDS or lost.table in parsed.made:
                    continue
                left = dict(known)
                note(node, left, revision)
                others = (other for other in left.values() if other is not lost)
                if not any(_replaces(each, lost, recent) for each in others):
                    yield _problem(parsed, lost, name)
            note(node, known, revision)


def _dropped(node: Message) -> list[tuple[str, str]]:
    """What a statement drops, by table or domain and name; an index by "" and name."""
    if isinstance(node, pg.AlterTableStmt):
        commands = [command.alter_table_cmd for command in node.cmds]
        dropped = [command.name for command in commands if command.subtype == pg.AT_DropConstraint]
        return [(table_name(node.relation), name) for name in dropped]
    if isinstance(node, pg.DropStmt) and node.remove_type == pg.OBJECT_INDEX:
        return [("", object_name(each)) for each in node.objects]
    if isinstance(node, pg.AlterDomainStmt) and node.subtype == "X":
        return [(".".join(strings(node.type_name)), node.name)]
    return []


def _known(known: Names, table: str, name: str) -> Known | None:
    """What earlier revisions have made under this name, or under a longer one that the naming convention has made."""
    longer = (found for key, found in known.items() if table == key[0] != "" and key[1].endswith(f"_{name}"))
    return known.get((table, name)) or next(longer, None)


def _by_name(project: Project, parsed: ParsedStatement, table: str, name: str) -> Known | None:
    """What its name, or its kind in op.drop_constraint, says, if no earlier revision does."""
    if any(isinstance(node, pg.AlterDomainStmt) for node in parsed.nodes):
        return Known(CHECK, table, frozenset(), "")
    kind = parsed.statement.constraint_kind or kind_by_name(project, table.rpartition(".")[2], name.rpartition(".")[2])
    return Known(kind, table, frozenset(), "") if kind else None


def _replaces(other: Known, lost: Known, recent: set[str]) -> bool:
    """Whether it stands for the one that is lost: unique on the same columns; or a check, made just now or before."""
    if other.table != lost.table or other.kind not in KINDS or (other.kind == CHECK) != (lost.kind == CHECK):
        return False
    if lost.kind == CHECK:
        return other.revision in recent
    return bool(lost.columns) and other.columns == lost.columns


def _problem(parsed: ParsedStatement, lost: Known, name: str) -> Problem:
    of = f" of {lost.table}" if lost.table else ""
    if lost.kind == CHECK:
        domain = next((node for node in parsed.nodes if isinstance(node, pg.AlterDomainStmt)), None)
        added = (
            call("add_check_online", ..., lost.table, ...)
            if domain is None
            else execute(f"ALTER DOMAIN {lost.table} ADD CHECK (...) NOT VALID")
        )
        return Problem(
            "drop-check",
            parsed.line,
            f"drops the check {name}{of}: values that it kept out may be written from then on, which the release at "
            "work does not expect, and while there are any, the check can't come back",
            f"If another check follows it, add that one before, with {added}; otherwise: {CONTRACT}",
        )
    return Problem(
        "drop-key",
        parsed.line,
        f"drops the {lost.kind} {name}{of}: each ON CONFLICT of the release at work that names its columns fails from "
        "then on, and a foreign key that refers to them keeps it from being dropped",
        f"If another one follows it, build that one before, on the same columns; otherwise: {CONTRACT}",
    )
