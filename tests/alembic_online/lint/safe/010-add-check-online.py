"""It applies to new rows at once; existing rows are checked while everybody works."""

from alembic import op

revision = "safe_010"
down_revision = None


def upgrade() -> None:
    op.add_check_online("ck_meals_portions", "meals", "portions > 0")
