"""No query names an index. ALTER INDEX RENAME takes a lock that blocks neither reads nor writes."""

from alembic import op

revision = "safe_007"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER INDEX ix_meals_price RENAME TO ix_meals_price_old")
