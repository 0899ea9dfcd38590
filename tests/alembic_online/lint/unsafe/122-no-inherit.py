"""The release at work no longer finds the rows. Take the table away in a contract revision."""

from alembic import op

revision = "unsafe_122"
down_revision = None
# needs: CREATE TABLE more_visits () INHERITS (old_visits)


def upgrade() -> None:
    op.execute("ALTER TABLE more_visits NO INHERIT old_visits")  # expect: inherit
