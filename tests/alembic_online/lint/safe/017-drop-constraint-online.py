"""Like op.drop_constraint, but repeatable."""

from alembic import op

revision = "safe_017"
down_revision = None
# needs: ALTER TABLE meals ADD CONSTRAINT ck_meals_price CHECK (price > 0)


def upgrade() -> None:
    op.drop_constraint_online("ck_meals_price", "meals")
