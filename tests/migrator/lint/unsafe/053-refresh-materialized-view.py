"""Reads of the view wait until it is written anew. Use REFRESH MATERIALIZED VIEW CONCURRENTLY, for which it needs a
unique index, and the migrator's role TEMPORARY on the database."""

from alembic import op

revision = "unsafe_053"
down_revision = None


def upgrade() -> None:
    op.execute("REFRESH MATERIALIZED VIEW species_counts")  # expect: blocking-rewrite
