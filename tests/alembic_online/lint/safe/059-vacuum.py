"""It frees what it can without a lock that blocks anybody; outside of a transaction, alone in its revision."""

from alembic import op

revision = "safe_059"
down_revision = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("VACUUM (ANALYZE) meals")
