"""The function may change any table, and lock it. Write the statements themselves; or check it, and say in a waiver
what it does."""

from alembic import op

revision = "unsafe_094"
down_revision = None


def upgrade() -> None:
    op.execute("SELECT prune_visits()")  # expect: opaque
