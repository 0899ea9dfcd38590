"""New statistics, so that the planner finds a new index. Reads and writes go on."""

from alembic import op

revision = "safe_060"
down_revision = None


def upgrade() -> None:
    op.execute("ANALYZE animals")
