"""How a statement and its transaction go together: which ones block nobody, are refused in one, or end it."""

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql.indexes import has_option
from alembic_online.sql.names import Node
from alembic_online.sql.parse import NotUnderstood, parse

REFUSED = (
    pg.CreatedbStmt,
    pg.DropdbStmt,
    pg.CreateTableSpaceStmt,
    pg.DropTableSpaceStmt,
    pg.AlterSystemStmt,
)
ENDS = {
    pg.TRANS_STMT_COMMIT,
    pg.TRANS_STMT_ROLLBACK,
    pg.TRANS_STMT_PREPARE,
    pg.TRANS_STMT_COMMIT_PREPARED,
    pg.TRANS_STMT_ROLLBACK_PREPARED,
}


def is_online(sql: str) -> bool:
    """Whether reads and writes go past this statement while it waits for its locks, and while it works for long."""
    statements = _read(sql)
    return bool(statements) and all(map(_is_online, statements))


def is_refused_in_transaction(statement: Node) -> bool:
    """Whether Postgres refuses the statement in a transaction."""
    if isinstance(statement, pg.ReindexStmt):
        wide = statement.kind not in {pg.REINDEX_OBJECT_INDEX, pg.REINDEX_OBJECT_TABLE}
        return wide or is_concurrent(statement)
    if isinstance(statement, pg.AlterTableStmt):
        return any(command.concurrent for command in partition_commands(statement))
    if isinstance(statement, pg.ClusterStmt):
        return not statement.HasField("relation")
    if isinstance(statement, pg.VacuumStmt):
        return bool(statement.is_vacuumcmd)
    return isinstance(statement, REFUSED) or (
        isinstance(statement, pg.IndexStmt | pg.DropStmt) and is_concurrent(statement)
    )


def ends_transaction(sql: str) -> bool:
    """Whether one of the statements ends the transaction that it is in."""
    return any(isinstance(found, pg.TransactionStmt) and found.kind in ENDS for found in _read(sql))


def is_concurrent(statement: Node) -> bool:
    """Whether the statement says CONCURRENTLY."""
    if isinstance(statement, pg.ReindexStmt):
        return has_option(statement.params, "concurrently")
    if isinstance(statement, pg.AlterTableStmt):
        return any(command.concurrent for command in partition_commands(statement))
    return isinstance(statement, pg.IndexStmt | pg.DropStmt | pg.RefreshMatViewStmt) and bool(statement.concurrent)


def partition_commands(statement: Node) -> list[pg.PartitionCmd]:
    """What the statement attaches and detaches."""
    commands = _commands(statement) if isinstance(statement, pg.AlterTableStmt) else []
    found = (unwrap_node(getattr(command, "def")) for command in commands)
    return [command for command in found if isinstance(command, pg.PartitionCmd)]


def _read(sql: str) -> tuple[Node, ...]:
    """The statements; none if they can't be parsed, which is reported when they are run, linted or planned."""
    try:
        return parse(sql)
    except NotUnderstood:
        return ()


def _is_online(statement: Node) -> bool:
    if isinstance(statement, pg.VacuumStmt):
        return not (statement.is_vacuumcmd and has_option(statement.options, "full"))
    if isinstance(statement, pg.AlterTableStmt):
        # With another subcommand, the statement takes that one's lock.
        return is_concurrent(statement) or {command.subtype for command in _commands(statement)} <= {
            pg.AT_ValidateConstraint,
            pg.AT_DetachPartitionFinalize,
        }
    return is_concurrent(statement)


def _commands(statement: pg.AlterTableStmt) -> list[pg.AlterTableCmd]:
    return [command for command in map(unwrap_node, statement.cmds) if isinstance(command, pg.AlterTableCmd)]
