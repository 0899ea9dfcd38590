"""Once no release that relies on it is connected, a check may go."""

from alembic import op

revision = "safe_069"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"
# needs: ALTER TABLE meals ADD CONSTRAINT ck_meals_price CHECK (price > 0)


def upgrade() -> None:
    op.drop_constraint("ck_meals_price", "meals")
