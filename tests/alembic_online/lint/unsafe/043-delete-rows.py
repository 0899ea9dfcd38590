"""All deleted rows are locked until the last one is gone. Delete in small batches, outside of the migration."""

from alembic import op

revision = "unsafe_043"
down_revision = None


def upgrade() -> None:
    op.execute("DELETE FROM old_visits WHERE day < '2025-01-01'")  # expect: unbatched-change
