"""A view is used like a table. Drop it in a contract revision."""

from alembic import op

revision = "unsafe_071"
down_revision = None


def upgrade() -> None:
    op.execute("DROP VIEW named_animals")  # expect: drop-in-expand
