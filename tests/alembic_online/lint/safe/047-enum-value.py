"""The release at work meets it only once the next one writes it, which is after this."""

from alembic import op

revision = "safe_047"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TYPE diet ADD VALUE IF NOT EXISTS 'fish'")
