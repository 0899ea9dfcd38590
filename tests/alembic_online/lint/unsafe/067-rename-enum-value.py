"""The release at work sends the old value, and gets an error. Add a value, move the rows over with op.backfill, and
leave the old one."""

from alembic import op

revision = "unsafe_067"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TYPE diet RENAME VALUE 'plants' TO 'herbivore'")  # expect: rename
