"""The release at work meets the value only once the next one writes it, which is later."""

from alembic import op

revision = "safe_047"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TYPE diet ADD VALUE IF NOT EXISTS 'fish'")
