"""Reads of the view go on; only rows that differ are changed. The view needs a unique index."""

from alembic import op

revision = "safe_054"
down_revision = None


def upgrade() -> None:
    op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY species_counts")
