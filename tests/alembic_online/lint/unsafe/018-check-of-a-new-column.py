"""A check on a new column checks every row as well, although all of them are NULL. Add the column, then use
op.add_check_online in a revision of its own."""

from alembic import op

revision = "unsafe_018"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE animals ADD COLUMN age int CHECK (age >= 0)")  # expect: blocking-scan
