"""The release at work may call it, in a query or through a default. Drop it in a contract revision."""

from alembic import op

revision = "unsafe_072"
down_revision = None


def upgrade() -> None:
    op.execute("DROP FUNCTION prune_visits()")  # expect: drop-in-expand
