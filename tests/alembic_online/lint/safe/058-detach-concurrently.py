"""Reads and writes go on. It has to be outside of a transaction; after a kill, the next run completes it."""

from alembic import op

revision = "safe_058"
down_revision = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE visits DETACH PARTITION visits_2025 CONCURRENTLY")
