"""The index is built first, while everybody works; the constraint then uses it, in an instant."""

from alembic import op

revision = "safe_013"
down_revision = None


def upgrade() -> None:
    op.add_unique_online("uq_meals_note", "meals", ["note"])
