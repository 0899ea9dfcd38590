"""Every row is rewritten. Create a new table with that access method, fill it, and switch the api over."""

from alembic import op

revision = "unsafe_056"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals SET ACCESS METHOD heap")  # expect: blocking-rewrite
