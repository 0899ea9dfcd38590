"""The release at work omits the column because it has a default: from then on it gets NULL, or an error. Drop the
default in a contract revision."""

from alembic import op

revision = "unsafe_073"
down_revision = None


def upgrade() -> None:
    op.alter_column("meals", "diet", server_default=None)  # expect: drop-in-expand
