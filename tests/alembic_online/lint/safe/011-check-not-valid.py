"""NOT VALID checks no row: the table is locked for an instant."""

from alembic import op

revision = "safe_011"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals ADD CONSTRAINT ck_meals_portions CHECK (portions > 0) NOT VALID")
