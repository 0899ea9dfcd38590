"""The rows of both tables are found in the one that is inherited from, by the release at work, too."""

from alembic import op

revision = "unsafe_121"
down_revision = None
# needs: CREATE TABLE more_visits (LIKE old_visits)


def upgrade() -> None:
    op.execute("ALTER TABLE more_visits INHERIT old_visits")  # expect: inherit
