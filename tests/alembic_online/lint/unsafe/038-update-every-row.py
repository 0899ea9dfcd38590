"""Every row is locked until all are written, the table takes twice the space, and vacuum can't clean up. Use
op.backfill."""

from alembic import op

revision = "unsafe_038"
down_revision = None


def upgrade() -> None:
    op.execute("UPDATE animals SET species = 'unknown'")  # expect: unbatched-change
