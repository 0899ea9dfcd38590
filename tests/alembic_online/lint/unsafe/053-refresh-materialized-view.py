"""Reads of the view wait until it is rewritten. Use REFRESH MATERIALIZED VIEW CONCURRENTLY, for which it needs a unique
index."""

from alembic import op

revision = "unsafe_053"
down_revision = None


def upgrade() -> None:
    op.execute("REFRESH MATERIALIZED VIEW species_counts")  # expect: blocking-rewrite
