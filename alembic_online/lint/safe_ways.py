"""What to write instead, by what a statement is."""

from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql.constraints import BUILDS

ALONE = "alone in its revision"
SUCCESSOR = (
    "Add a second column, and keep both equal with op.sync_columns_online(...); fill it with op.backfill(...), switch "
    "the app over, and drop the old one in a contract revision"
)
BY_CONSTRAINT = {
    pg.CONSTR_FOREIGN: f"Use op.add_foreign_key_online(...), {ALONE}",
    pg.CONSTR_CHECK: f"Use op.add_check_online(...), {ALONE}",
    pg.CONSTR_NOTNULL: f"Use op.set_not_null_online(...), {ALONE}",
    pg.CONSTR_UNIQUE: f"Use op.add_unique_online(...), {ALONE}",
    pg.CONSTR_PRIMARY: (
        "Build a unique index with op.create_index_online(...), set its columns NOT NULL with "
        "op.set_not_null_online(...), then ADD PRIMARY KEY USING INDEX, each in a revision of its own"
    ),
    pg.CONSTR_EXCLUSION: (
        "Postgres has no online way for EXCLUDE: make a new table that has it, fill that, and switch the app over"
    ),
}
BY_SUBCOMMAND = {
    pg.AT_SetNotNull: BY_CONSTRAINT[pg.CONSTR_NOTNULL],
    pg.AT_AlterColumnType: (
        f"{SUCCESSOR}. If the rows stay as they are, say which type there was: op.alter_column(..., existing_type=...)"
    ),
    pg.AT_SetExpression: "Add a second column with the new expression, and switch the app over",
    pg.AT_AttachPartition: (
        "Prove the bounds before, with op.add_check_online(...) on the partition: then no row is looked at; say so in "
        "a waiver"
    ),
    pg.AT_AlterConstraint: "Drop it, and add one that is enforced with op.add_foreign_key_online(...)",
    **dict.fromkeys(
        (pg.AT_SetLogged, pg.AT_SetUnLogged, pg.AT_SetAccessMethod, pg.AT_SetTableSpace),
        "Make a new table, fill it, and switch the app over; or take a maintenance window, and say so in a waiver",
    ),
}
REINDEX = f"Use REINDEX ... CONCURRENTLY in op.get_context().autocommit_block(), {ALONE}"
BY_STATEMENT: dict[type[Message], str] = {
    pg.IndexStmt: f"Use op.create_index_online(...), {ALONE}",
    pg.ReindexStmt: REINDEX,
    pg.ClusterStmt: "Rows need no order; if they do, pg_repack gives them one while the table is in use",
    pg.VacuumStmt: "A plain VACUUM makes the space usable again; pg_repack gives it back while the table is in use",
    pg.RefreshMatViewStmt: "Use REFRESH MATERIALIZED VIEW CONCURRENTLY, for which the view needs a unique index",
    pg.AlterDomainStmt: "Add the constraint NOT VALID, and VALIDATE it in the next revision",
}
ELSE = "Do it in small steps, in transactions of their own"


def safe_way(parsed: ParsedStatement) -> str:
    """What to write instead of a statement that works under a lock."""
    return next(_ways(parsed), ELSE)


def _ways(parsed: ParsedStatement) -> Iterator[str]:
    for _, command in parsed.commands():
        if command.subtype == pg.AT_AddConstraint:
            constraint = getattr(command, "def").constraint
            if constraint.contype in BY_CONSTRAINT:
                yield BY_CONSTRAINT[constraint.contype]
        elif command.subtype == pg.AT_AddColumn:
            yield _add_column(getattr(command, "def").column_def)
        elif command.subtype in BY_SUBCOMMAND:
            yield BY_SUBCOMMAND[command.subtype]
    for node in parsed.nodes:
        if type(node) in BY_STATEMENT:
            yield BY_STATEMENT[type(node)]


def _add_column(column: pg.ColumnDef) -> str:
    kinds = {constraint.contype: constraint for constraint in map(unwrap_node, column.constraints)}
    for kind in (pg.CONSTR_FOREIGN, pg.CONSTR_CHECK, *BUILDS):
        if kind in kinds:
            return f"Add the column without it. {BY_CONSTRAINT[kind]}"
    if pg.CONSTR_GENERATED in kinds:
        return (
            "Postgres 18 computes a VIRTUAL one when it is read, sa.Computed(..., persisted=False), and adds it in an "
            "instant; or add a plain column, let the app write it, and fill it with op.backfill(...)"
        )
    if pg.CONSTR_DEFAULT in kinds:
        return (
            "Add the column without the default, then set the default, for rows to come: op.alter_column(..., "
            "server_default=...); and fill the others with op.backfill(...), in a revision of its own"
        )
    return (
        "Add a plain bigint, give it a sequence of its own as the default in a second statement, and fill it with "
        "op.backfill(...) in the next revision"
    )
