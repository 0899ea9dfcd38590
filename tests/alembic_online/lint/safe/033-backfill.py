"""In batches in the order of the key, each committed with the key that it reached; after a kill, the next run goes on
from there."""

from alembic import op

revision = "safe_033"
down_revision = None


def upgrade() -> None:
    op.backfill("animals", {"description": "name || ', ' || species"})
