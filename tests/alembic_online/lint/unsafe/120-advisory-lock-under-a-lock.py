"""Whoever needs the row waits for as long as somebody else holds the advisory lock."""

from alembic import op

revision = "unsafe_120"
down_revision = None


def upgrade() -> None:
    op.execute("UPDATE exhibits SET name = 'Steppe' WHERE id = 1")
    op.execute("SELECT pg_advisory_xact_lock(1)")  # expect: wait-under-lock
