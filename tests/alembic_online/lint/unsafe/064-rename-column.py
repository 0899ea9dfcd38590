"""After the rename, the release at work asks for a column that no longer exists; before it, the next release does. Add
the new column, op.sync_columns_online, op.backfill, switch over, drop the old one."""

from alembic import op

revision = "unsafe_064"
down_revision = None


def upgrade() -> None:
    op.alter_column("animals", "species", new_column_name="scientific_name")  # expect: rename
