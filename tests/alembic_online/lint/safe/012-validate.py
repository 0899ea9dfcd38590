"""VALIDATE checks every row under SHARE UPDATE EXCLUSIVE, which blocks neither reads nor writes. It is alone in its
revision, so no other lock is held meanwhile."""

from alembic import op

revision = "safe_012"
down_revision = None
# needs: ALTER TABLE meals ADD CONSTRAINT ck_meals_price CHECK (price > 0) NOT VALID


def upgrade() -> None:
    op.execute("ALTER TABLE meals VALIDATE CONSTRAINT ck_meals_price")
