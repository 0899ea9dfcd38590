"""A domain's new constraint is checked in every row of every table with a column of it, and writes to them wait. Add it
NOT VALID, and VALIDATE it in the next revision."""

from alembic import op

revision = "unsafe_020"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER DOMAIN kilograms ADD CONSTRAINT positive CHECK (VALUE > 0)")  # expect: blocking-scan
