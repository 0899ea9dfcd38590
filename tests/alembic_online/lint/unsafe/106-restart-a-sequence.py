"""Repeated numbers are refused as duplicates."""

from alembic import op

revision = "unsafe_106"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER SEQUENCE tickets RESTART")  # expect: ban-alter-sequence-values
