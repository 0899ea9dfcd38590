"""A DO block is one statement, and one transaction: the rows stay locked until its end. Use op.backfill."""

from alembic import op

revision = "unsafe_041"
down_revision = None


def upgrade() -> None:
    # expect: unbatched-change
    op.execute("DO $$ BEGIN UPDATE animals SET species = 'unknown' WHERE species IS NULL; END $$")
