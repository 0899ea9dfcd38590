"""How the locks of a statement can be seen, by its kind, and whether it changes the schema."""

import re
from enum import Enum

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

# Statements that can't be in a transaction.
_BY_ITSELF = (
    pg.VacuumStmt, pg.ClusterStmt, pg.ReindexStmt, pg.AlterSystemStmt, pg.CreatedbStmt, pg.DropdbStmt,
    pg.CreateTableSpaceStmt, pg.DropTableSpaceStmt, pg.CreateSubscriptionStmt, pg.AlterSubscriptionStmt,
    pg.DropSubscriptionStmt, pg.TransactionStmt,
)  # fmt: skip
_ENDS_TRANSACTION = re.compile(r"\b(?:commit|rollback)\b", re.IGNORECASE)
_ROWS = (pg.SelectStmt, pg.InsertStmt, pg.UpdateStmt, pg.DeleteStmt, pg.MergeStmt, pg.CopyStmt, pg.VariableSetStmt)


class LockObservation(Enum):
    """How the locks of a statement are seen, although they are released when its transaction ends."""

    IN_ITS_TRANSACTION = "in the revision's transaction"
    IN_ONE_OF_ITS_OWN = "in a transaction of its own"
    HELD_UP = "held up until its locks were seen"
    POLLED = "watched while it ran: short locks may be missing"


def observation_of(sql: str) -> LockObservation:
    """How to see the locks of a statement outside of a transaction: exactly, except of code that may commit itself."""
    nodes = _parse(sql)
    if nodes is None or any(
        isinstance(node, pg.CallStmt) or (isinstance(node, pg.DoStmt) and _ENDS_TRANSACTION.search(sql))
        for node in nodes
    ):
        return LockObservation.POLLED
    if any(isinstance(node, _BY_ITSELF) or _is_concurrent(node) for node in nodes):
        return LockObservation.HELD_UP
    return LockObservation.IN_ONE_OF_ITS_OWN


def changes_schema(sql: str) -> bool:
    """Whether it may change more than rows."""
    nodes = _parse(sql)
    return nodes is None or any(not isinstance(node, _ROWS) for node in nodes)


def _parse(sql: str) -> list[Message] | None:
    try:
        return [unwrap_node(statement.stmt) for statement in postgast.parse(sql).stmts]
    except postgast.PgQueryError:
        return None


def _is_concurrent(node: Message) -> bool:
    if isinstance(node, pg.AlterTableStmt):
        commands = [unwrap_node(getattr(unwrap_node(command), "def")) for command in node.cmds]
        return any(isinstance(command, pg.PartitionCmd) and command.concurrent for command in commands)
    return isinstance(node, pg.IndexStmt | pg.DropStmt) and node.concurrent
