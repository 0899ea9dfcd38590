"""DETACH takes ACCESS EXCLUSIVE on the whole partitioned table. Use DETACH PARTITION ... CONCURRENTLY, in an
autocommit_block."""

from alembic import op

revision = "unsafe_062"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE visits DETACH PARTITION visits_2025")  # expect: detach
