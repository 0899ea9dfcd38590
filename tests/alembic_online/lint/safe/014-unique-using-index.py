"""The second half of op.add_unique_online, by hand: the constraint uses an existing index, in an instant."""

from alembic import op

revision = "safe_014"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE weights ADD CONSTRAINT uq_weights UNIQUE USING INDEX uq_weights")
