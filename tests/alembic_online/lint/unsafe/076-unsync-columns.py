"""What the release at work writes to the old column no longer reaches the new one. End the synchronization in a
contract revision."""

from alembic import op

revision = "unsafe_076"
down_revision = None


def upgrade() -> None:
    op.unsync_columns_online("animals", "species", "scientific_name")  # expect: drop-in-expand
