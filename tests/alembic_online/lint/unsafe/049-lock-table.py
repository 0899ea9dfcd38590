"""LOCK TABLE blocks others until the commit, whatever comes after it. Each statement takes the lock that it needs."""

from alembic import op

revision = "unsafe_049"
down_revision = None


def upgrade() -> None:
    op.execute("LOCK TABLE animals IN SHARE ROW EXCLUSIVE MODE")  # expect: lock-table
