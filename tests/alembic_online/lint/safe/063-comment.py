"""A comment changes the catalogs only."""

from alembic import op

revision = "safe_063"
down_revision = None


def upgrade() -> None:
    op.create_table_comment("meals", "What the animals get")
    op.alter_column("meals", "note", comment="Shown to the keepers")
