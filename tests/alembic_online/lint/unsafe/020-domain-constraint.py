"""A domain's new constraint is checked in every row of every table with a column of it, and writes to them wait. Add it
NOT VALID: only new values are checked. To VALIDATE it later blocks writes, too."""

from alembic import op

revision = "unsafe_020"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER DOMAIN kilograms ADD CONSTRAINT positive CHECK (VALUE > 0)")  # expect: blocking-scan
    op.execute("ALTER DOMAIN kilograms ADD CONSTRAINT light CHECK (VALUE < 9000) NOT VALID")
    op.execute("ALTER DOMAIN kilograms VALIDATE CONSTRAINT light")  # expect: blocking-scan
