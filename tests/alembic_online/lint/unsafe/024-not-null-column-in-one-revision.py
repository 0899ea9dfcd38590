"""The classic: add, fill, NOT NULL, all in one transaction. From the first statement on nobody can use the table, until
the last row is written and checked. Each is a revision of its own: op.add_column, op.backfill,
op.set_not_null_online."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_024"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("legs", sa.BigInteger(), nullable=True))
    op.execute("UPDATE animals SET legs = 4")  # expect: unbatched-change
    op.alter_column("animals", "legs", nullable=False)  # expect: blocking-scan
