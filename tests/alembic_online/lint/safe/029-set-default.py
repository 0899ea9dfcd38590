"""A default applies to new rows only, where the release at work gives no value."""

from alembic import op

revision = "safe_029"
down_revision = None


def upgrade() -> None:
    op.alter_column("animals", "species", server_default="unknown")
