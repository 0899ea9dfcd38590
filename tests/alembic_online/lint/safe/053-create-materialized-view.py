"""Reads what it is made of, and nobody waits for a read."""

from alembic import op

revision = "safe_053"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE MATERIALIZED VIEW prices AS SELECT diet, avg(price) AS price FROM meals GROUP BY diet")
    op.execute("CREATE UNIQUE INDEX uq_prices ON prices (diet)")
