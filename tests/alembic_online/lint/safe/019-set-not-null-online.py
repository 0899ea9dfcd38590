"""New rows must have a value at once; existing rows are checked while everybody works."""

from alembic import op

revision = "safe_019"
down_revision = None


def upgrade() -> None:
    op.set_not_null_online("animals", "name")
