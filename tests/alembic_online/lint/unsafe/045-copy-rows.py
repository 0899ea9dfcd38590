"""For a large table this takes hours, in one transaction, and misses what is written meanwhile. Copy in batches by the
key."""

from alembic import op

revision = "unsafe_045"
down_revision = None


def upgrade() -> None:
    op.execute("INSERT INTO visits_2027 SELECT * FROM old_visits")  # expect: unbatched-change
