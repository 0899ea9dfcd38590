"""The second half of op.add_unique_online, by hand: of an index that is there a constraint is made in an instant."""

from alembic import op

revision = "safe_014"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE weights ADD CONSTRAINT uq_weights UNIQUE USING INDEX uq_weights")
