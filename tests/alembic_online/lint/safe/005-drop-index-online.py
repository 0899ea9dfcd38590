"""The index is dropped without blocking anybody."""

from alembic import op

revision = "safe_005"
down_revision = None


def upgrade() -> None:
    op.drop_index_online("ix_meals_price", "meals")
