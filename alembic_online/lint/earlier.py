"""Constraints and indexes that exist before a revision, as far as the revisions before it show them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.project import Project
from alembic_online.revision_sql import NotSql, read_statements
from alembic_online.sql import NotUnderstood
from alembic_online.sql.names import object_name, qualified, strings, table_name
from alembic_online.sql.parse import parse

KINDS = {pg.CONSTR_PRIMARY: "primary key", pg.CONSTR_UNIQUE: "unique constraint", pg.CONSTR_CHECK: "check"}
# What Postgres appends to a constraint's name that nobody has given, and how such names usually begin.
SUFFIXES = {"_pkey": "primary key", "_key": "unique constraint", "_check": "check"}
PREFIXES = {"pk": "primary key", "uq": "unique constraint", "ck": "check"}


@dataclass(frozen=True)
class Known:
    """A constraint or index, and the revision that made it. `table` has the form of `Effect.table`."""

    kind: str
    table: str
    columns: frozenset[str]
    revision: str


Names = dict[tuple[str, str], Known]
"""By table and name; for an index, by "" and name."""


def known_before(project: Project, revision: str) -> Names:
    """What the revisions before this one have made, and not dropped."""
    known: Names = {}
    earlier = [found.revision for found in project.scripts.iterate_revisions(revision, "base")]
    for found in reversed(earlier[1:]):
        for statement in _statements(project, found):
            note(statement, known, found)
    return known


def kind_by_name(project: Project, table: str, name: str) -> str | None:
    """The kind of a constraint with this name, by the models' naming convention, or Postgres's.

    `table` is the plain name of its table; empty for an index.
    """
    convention = {"pk": "pk_", "uq": "uq_", "ck": "ck_"} | {str(key): text for key, text in _conventions(project)}
    for key, kind in PREFIXES.items():
        prefix = convention[key].partition("%")[0]
        if prefix and name.startswith(prefix):
            return kind
    is_chosen = bool(table) and name.startswith(table)
    return next((kind for suffix, kind in SUFFIXES.items() if is_chosen and name.endswith(suffix)), None)


def note(statement: Message, known: Names, revision: str) -> None:
    """Note what a statement of the revision makes and drops."""
    match statement:
        case pg.CreateStmt():
            for element in map(unwrap_node, statement.table_elts):
                _note_element(statement.relation, element, known, revision)
        case pg.AlterTableStmt():
            for command in map(unwrap_node, statement.cmds):
                _note_command(statement.relation, command, known, revision)
        case pg.IndexStmt():
            index = qualified(statement.relation.schemaname, statement.idxname)
            is_whole = statement.unique and not statement.HasField("where_clause")
            columns = frozenset(part.index_elem.name for part in statement.index_params if is_whole)
            kind = "unique index" if statement.unique else "index"
            known["", index] = Known(kind, table_name(statement.relation), columns, revision)
        case pg.DropStmt() if statement.remove_type == pg.OBJECT_INDEX:
            for node in statement.objects:
                known.pop(("", object_name(node)), None)
        case pg.RenameStmt():
            _note_rename(statement, known)


def _note_command(relation: pg.RangeVar, command: Message, known: Names, revision: str) -> None:
    assert isinstance(command, pg.AlterTableCmd)
    if command.subtype == pg.AT_DropConstraint:
        known.pop((table_name(relation), command.name), None)
    elif command.subtype in {pg.AT_AddColumn, pg.AT_AddConstraint}:
        _note_element(relation, unwrap_node(getattr(command, "def")), known, revision)


def _note_rename(statement: pg.RenameStmt, known: Names) -> None:
    name = table_name(statement.relation)
    old = {
        pg.OBJECT_TABCONSTRAINT: (name, statement.subname),
        pg.OBJECT_INDEX: ("", name),
    }.get(statement.rename_type)
    if old in known:
        known[old[0], statement.newname] = known.pop(old)


def _note_element(relation: pg.RangeVar, element: Message, known: Names, revision: str) -> None:
    if isinstance(element, pg.ColumnDef):
        for constraint in map(unwrap_node, element.constraints):
            if isinstance(constraint, pg.Constraint):
                _note_constraint(relation, constraint, [element.colname], known, revision)
    elif isinstance(element, pg.Constraint):
        _note_constraint(relation, element, strings(element.keys), known, revision)


def _note_constraint(
    relation: pg.RangeVar, constraint: pg.Constraint, columns: Sequence[str], known: Names, revision: str
) -> None:
    if constraint.contype not in KINDS:
        return
    table, kind = table_name(relation), KINDS[constraint.contype]
    suffix = next(suffix for suffix, meant in SUFFIXES.items() if meant == kind)
    parts = [] if constraint.contype == pg.CONSTR_PRIMARY else columns
    name = constraint.conname or constraint.indexname or "_".join([relation.relname, *parts]) + suffix
    index = known.pop(("", qualified(relation.schemaname, constraint.indexname)), None)
    known[table, name] = Known(kind, table, index.columns if index else frozenset(columns), revision)


def _conventions(project: Project) -> Iterator[tuple[str, str]]:
    for key, template in project.metadata.naming_convention.items():
        if isinstance(key, str) and isinstance(template, str):
            yield key, template


@lru_cache(maxsize=2048)
def _statements(project: Project, revision: str) -> tuple[Message, ...]:
    """The statements of a revision; none that are not known before it runs, or can't be read."""
    found: list[Message] = []
    try:
        for statement in read_statements(project, revision):
            found += parse(statement.sql)
    except (NotSql, NotUnderstood):
        return ()
    return tuple(found)
