"""VALIDATE looks at every row under SHARE UPDATE EXCLUSIVE, which neither reads nor writes wait for. It stands
alone, so no other lock is held meanwhile."""

from alembic import op

revision = "safe_012"
down_revision = None
# needs: ALTER TABLE meals ADD CONSTRAINT ck_meals_price CHECK (price > 0) NOT VALID


def upgrade() -> None:
    op.execute("ALTER TABLE meals VALIDATE CONSTRAINT ck_meals_price")
