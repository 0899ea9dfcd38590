"""Each is committed by itself: if the second fails, the first exists, but the revision is not applied. One revision
each."""

from alembic import op

revision = "unsafe_080"
down_revision = None


def upgrade() -> None:
    op.create_index_online("ix_meals_note", "meals", ["note"])  # expect: not-alone
    op.create_index_online("ix_meals_label", "meals", ["label"])
