"""What to write instead, by the kind of a statement: as code that can be pasted, with the statement's names."""

from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

from alembic_online.lint.calls import alter_table, call, execute, execute_outside, final, name_of
from alembic_online.lint.columns_apart import way_of_column, way_of_type
from alembic_online.lint.online_calls import (
    add_constraint,
    add_primary_key,
    create_index,
    drop_constraint,
    drop_indexes,
    set_not_null,
)
from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql.names import quote, strings, table_name

ALONE = "alone in its revision"
NEW_TABLE = "Create a new table, fill it, and switch the app over; or take a maintenance window, and say so in a waiver"
NO_WAY = "Postgres has no online way for it: create a new table that has it, fill that, and switch the app over"
WHOLE_TABLE = {pg.AT_SetLogged, pg.AT_SetUnLogged, pg.AT_SetAccessMethod, pg.AT_SetTableSpace}
ELSE = "Do it in small steps, in transactions of their own"


def safe_way(parsed: ParsedStatement) -> str:
    """What to write instead of a statement that works under a lock."""
    return known_way(parsed) or ELSE


def known_way(parsed: ParsedStatement) -> str | None:
    """What to write instead; None if no way is known for this kind of statement."""
    return next(_ways(parsed), None)


def operation_way(parsed: ParsedStatement) -> str | None:
    """What to write instead, if it is an online operation, which can be repeated after a kill, unlike other SQL."""
    return next((way for way in _ways(parsed) if "_online(" in way), None)


def _ways(parsed: ParsedStatement) -> Iterator[str]:
    for node, command in parsed.commands():
        if way := _of_command(parsed, node.relation, command):
            yield way
    for node in parsed.nodes:
        if way := _of_statement(node):
            yield way


def _of_command(parsed: ParsedStatement, table: pg.RangeVar, command: pg.AlterTableCmd) -> str | None:
    definition, column = getattr(command, "def"), command.name
    way = None
    match command.subtype:
        case pg.AT_AddConstraint:
            way = _constraint(table, definition.constraint)
        case pg.AT_AddColumn:
            way = way_of_column(table, definition.column_def)
        case pg.AT_AlterColumnType:
            way = way_of_type(table, column, definition.column_def, parsed.statement.existing_type)
        case pg.AT_SetNotNull:
            way = f"Use {set_not_null(table, column)}, {ALONE}"
        case pg.AT_SetExpression:
            way = f"Add a second column beside {quote(column)} with the new expression, and switch the app over"
        case pg.AT_AttachPartition:
            way = _attach(definition.partition_cmd.name)
        case pg.AT_DetachPartition:
            way = detach(table, definition.partition_cmd)
        case pg.AT_AlterConstraint:
            name = definition.atalter_constraint.conname
            again = call(
                "add_foreign_key_online", name, table.relname, ..., [...], [...], source_schema=table.schemaname
            )
            way = f"Drop it, {drop_constraint(table, name)}, and add one that is enforced, {again}, each {ALONE}"
        case subtype if subtype in WHOLE_TABLE:
            way = NEW_TABLE
    return way


def _constraint(table: pg.RangeVar, constraint: pg.Constraint) -> str | None:
    if constraint.contype == pg.CONSTR_EXCLUSION or constraint.without_overlaps:
        return NO_WAY
    if constraint.contype == pg.CONSTR_NOTNULL:
        return f"Use {set_not_null(table, strings(constraint.keys)[0])}, {ALONE}"
    if constraint.contype == pg.CONSTR_PRIMARY:
        if constraint.indexname:
            return None
        return f"Use {', then '.join(add_primary_key(table, constraint))}, each {ALONE}"
    if constraint.contype in {pg.CONSTR_FOREIGN, pg.CONSTR_CHECK, pg.CONSTR_UNIQUE} and not constraint.indexname:
        return f"Use {add_constraint(table, constraint)}, {ALONE}"
    return None


def _attach(partition: pg.RangeVar) -> str:
    """ATTACH PARTITION; the columns of the bounds are not known from the statement."""
    name = name_of("ck", partition.relname, "bounds")
    check = call("add_check_online", final(name), partition.relname, ..., schema=partition.schemaname)
    return f"Prove the bounds before, with {check}: then no row is checked; say so in a waiver"


def detach(table: pg.RangeVar, partition: pg.PartitionCmd) -> str:
    """DETACH PARTITION."""
    made = pg.PartitionCmd(name=partition.name, concurrent=True)
    command = alter_table(table, pg.AT_DetachPartition, **{"def": pg.Node(partition_cmd=made)})
    return f"Write {execute_outside(command)}, {ALONE}"


def _of_statement(node: Message) -> str | None:
    """What to write instead of a statement other than ALTER TABLE."""
    way = None
    match node:
        case pg.IndexStmt():
            way = f"Use {create_index(node)}, {ALONE}"
        case pg.DropStmt() if node.remove_type == pg.OBJECT_INDEX:
            way = f"Use {drop_indexes(node)}, {ALONE}"
        case pg.ReindexStmt() if node.kind != pg.REINDEX_OBJECT_SYSTEM:  # catalogs have no CONCURRENTLY
            way = f"Write {execute_outside(_reindex(node))}, {ALONE}"
        case pg.ClusterStmt():
            way = "Rows need no order; if they do, pg_repack gives them one while the table is in use"
        case pg.VacuumStmt():
            way = "A plain VACUUM lets the table reuse the space; pg_repack frees it while the table is in use"
        case pg.RefreshMatViewStmt():
            made = pg.RefreshMatViewStmt(concurrent=True, relation=node.relation)
            way = f"Use {execute(made)}, for which the view needs a unique index"
        case pg.AlterDomainStmt() if getattr(node, "def").constraint.contype == pg.CONSTR_CHECK:
            way = _domain(node)
    return way


def _reindex(node: pg.ReindexStmt) -> str:
    kind = pg.ReindexObjectType.Name(node.kind).removeprefix("REINDEX_OBJECT_")
    name = table_name(node.relation) if node.HasField("relation") else node.name and quote(node.name)
    return f"REINDEX {kind} CONCURRENTLY {name}".strip()


def _domain(node: pg.AlterDomainStmt) -> str:
    added = pg.AlterDomainStmt()
    added.CopyFrom(node)
    constraint = getattr(added, "def").constraint
    constraint.skip_validation = True
    constraint.conname = constraint.conname or name_of("ck", strings(node.type_name)[-1])
    return (
        f"Use {execute(added)}: all new values are checked; VALIDATE, for those that are there, would block writes, too"
    )
