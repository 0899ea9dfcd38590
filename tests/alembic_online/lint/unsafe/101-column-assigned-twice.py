"""One of the two is a mistake; Postgres refuses both."""

from alembic import op

revision = "unsafe_101"
down_revision = None
# fails: specified more than once


def upgrade() -> None:
    # expect: ban-duplicate-column-assignments
    op.execute("INSERT INTO meals (portions, note, portions) VALUES (1, 'hay', 2)")
