"""Reads and writes wait while every row is checked. Use op.add_check_online."""

from alembic import op

revision = "unsafe_017"
down_revision = None


def upgrade() -> None:
    op.create_check_constraint("ck_meals_portions", "meals", "portions > 0")  # expect: blocking-scan
