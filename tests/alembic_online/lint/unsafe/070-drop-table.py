"""The release at work still uses the table, or may. Drop it in a contract revision."""

from alembic import op

revision = "unsafe_070"
down_revision = None


def upgrade() -> None:
    op.drop_table("closures")  # expect: drop-in-expand
