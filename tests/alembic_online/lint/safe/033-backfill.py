"""In batches in the order of the key, each committed with how far it came; a run that is killed goes on from there."""

from alembic import op

revision = "safe_033"
down_revision = None


def upgrade() -> None:
    op.backfill("animals", {"description": "name || ', ' || species"})
