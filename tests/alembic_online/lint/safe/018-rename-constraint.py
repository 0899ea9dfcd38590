"""No query needs a constraint's name."""

from alembic import op

revision = "safe_018"
down_revision = None
# needs: ALTER TABLE meals ADD CONSTRAINT ck_meals_price CHECK (price > 0)


def upgrade() -> None:
    op.execute("ALTER TABLE meals RENAME CONSTRAINT ck_meals_price TO ck_meals_price_old")
