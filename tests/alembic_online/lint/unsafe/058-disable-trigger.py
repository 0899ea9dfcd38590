"""Writes wait for it; and what the trigger did is not done, for anybody, until it is enabled again."""

from alembic import op

revision = "unsafe_058"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE staff DISABLE TRIGGER touch")  # expect: trigger
