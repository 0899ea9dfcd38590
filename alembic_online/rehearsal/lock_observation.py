"""How the locks of a statement can be seen, by its kind, and whether it changes the schema."""

from enum import Enum

from postgast import pg_query_pb2 as pg

from alembic_online.sql.blocks import may_end_transaction
from alembic_online.sql.names import Node
from alembic_online.sql.parse import NotUnderstood, parse
from alembic_online.sql.transactions import is_refused_in_transaction

# Other statements that can't be in a transaction, or not always.
_BY_ITSELF = (
    pg.ReindexStmt, pg.ClusterStmt, pg.VacuumStmt, pg.CreateSubscriptionStmt, pg.AlterSubscriptionStmt,
    pg.DropSubscriptionStmt, pg.TransactionStmt,
)  # fmt: skip
_ROWS = (pg.SelectStmt, pg.InsertStmt, pg.UpdateStmt, pg.DeleteStmt, pg.MergeStmt, pg.CopyStmt, pg.VariableSetStmt)


class LockObservation(Enum):
    """How the locks of a statement are seen, although they are released when its transaction ends."""

    IN_ITS_TRANSACTION = "in the revision's transaction"
    IN_ONE_OF_ITS_OWN = "in a transaction of its own"
    HELD_UP = "held up until its locks were seen"
    POLLED = "watched while it ran: short locks may be missing"


def observation_of(sql: str) -> LockObservation:
    """How to see the locks of a statement outside of a transaction: exactly, except of code that may commit itself."""
    try:
        statements = parse(sql)
    except NotUnderstood:
        return LockObservation.POLLED
    if any(map(_may_commit, statements)):
        return LockObservation.POLLED
    if any(isinstance(found, _BY_ITSELF) or is_refused_in_transaction(found) for found in statements):
        return LockObservation.HELD_UP
    return LockObservation.IN_ONE_OF_ITS_OWN


def changes_schema(sql: str) -> bool:
    """Whether it may change more than rows."""
    try:
        return any(not isinstance(found, _ROWS) for found in parse(sql))
    except NotUnderstood:
        return True


def _may_commit(statement: Node) -> bool:
    return isinstance(statement, pg.CallStmt) or (isinstance(statement, pg.DoStmt) and may_end_transaction(statement))
