"""The table is rewritten, and written to the WAL when it is LOGGED again; after a crash an unlogged table is empty."""

from alembic import op

revision = "unsafe_055"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals SET UNLOGGED")  # expect: blocking-rewrite
