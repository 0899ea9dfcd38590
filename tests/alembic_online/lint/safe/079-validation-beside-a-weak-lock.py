"""Both locks, SHARE UPDATE EXCLUSIVE, let everybody read and write, so that nobody waits for the validation."""

from alembic import op

revision = "safe_079"
down_revision = None
# needs: ALTER TABLE meals ADD CONSTRAINT ck_meals_portions CHECK (portions >= 0) NOT VALID


def upgrade() -> None:
    op.execute("ALTER TABLE meals SET (fillfactor = 70)")
    op.execute("ALTER TABLE meals VALIDATE CONSTRAINT ck_meals_portions")
