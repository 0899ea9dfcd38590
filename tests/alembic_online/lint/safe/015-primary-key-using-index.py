"""The index exists and its columns are NOT NULL, so nothing is built, and no row is checked."""

from alembic import op

revision = "safe_015"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE weights ADD CONSTRAINT pk_weights PRIMARY KEY USING INDEX uq_weights")
