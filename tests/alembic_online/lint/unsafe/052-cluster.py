"""CLUSTER rewrites the table in the order of an index, which later writes do not keep. Leave it out, or use
pg_repack."""

from alembic import op

revision = "unsafe_052"
down_revision = None


def upgrade() -> None:
    op.execute("CLUSTER meals USING ix_meals_price")  # expect: blocking-rewrite
