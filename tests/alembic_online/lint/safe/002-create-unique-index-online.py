"""If two rows are alike, what was built is dropped again, and the run says which rows."""

from alembic import op

revision = "safe_002"
down_revision = None


def upgrade() -> None:
    op.create_index_online("uq_meals_note", "meals", ["note"], unique=True)
