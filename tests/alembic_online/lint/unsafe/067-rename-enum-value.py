"""The release at work writes the old value, and gets an error. Add a value, change the rows with op.backfill, and leave
the old value."""

from alembic import op

revision = "unsafe_067"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TYPE diet RENAME VALUE 'plants' TO 'herbivore'")  # expect: rename
