"""CASCADE drops the foreign keys of other tables that need this constraint, and locks those tables. Drop them first,
each by its name."""

from alembic import op

revision = "unsafe_075"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE exhibits DROP CONSTRAINT pk_exhibits CASCADE")  # expect: opaque, drop-key
