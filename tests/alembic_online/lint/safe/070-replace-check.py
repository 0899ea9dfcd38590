"""There is a check at all times. The new one holds for rows to come; validate it in the next revision."""

from alembic import op

revision = "safe_070"
down_revision = None
# needs: ALTER TABLE meals ADD CONSTRAINT ck_meals_price CHECK (price > 0)


def upgrade() -> None:
    op.create_check_constraint("price_or_gift", "meals", "price >= 0", postgresql_not_valid=True)
    op.drop_constraint("ck_meals_price", "meals")
