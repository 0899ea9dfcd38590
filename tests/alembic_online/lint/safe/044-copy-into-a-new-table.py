"""Reading the old table blocks nobody, and no other lock is held. For a very large one, mind
MIGRATOR_STATEMENT_TIMEOUT."""

import sqlalchemy as sa
from alembic import op

revision = "safe_044"
down_revision = None


def upgrade() -> None:
    op.create_table("notes", sa.Column("note", sa.Text(), nullable=False))
    op.execute("INSERT INTO notes SELECT DISTINCT note FROM meals WHERE note IS NOT NULL")
