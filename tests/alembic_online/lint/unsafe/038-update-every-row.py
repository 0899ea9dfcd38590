"""Every row is locked until all are written, twice the space is used, and vacuum can't clean up behind it. Use
op.backfill."""

from alembic import op

revision = "unsafe_038"
down_revision = None


def upgrade() -> None:
    op.execute("UPDATE animals SET species = 'unknown'")  # expect: unbatched-change
