"""COMMIT ends the transaction in which the revision is recorded as applied: what follows is not rolled back with it.
Each revision is a transaction already."""

from alembic import op

revision = "unsafe_084"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE animals ADD COLUMN wild boolean")
    op.execute("COMMIT")  # expect: transaction
