"""As with a column: the app and the migration can't be deployed in any order without errors. Keep a view of the old
name, or both tables."""

from alembic import op

revision = "unsafe_065"
down_revision = None


def upgrade() -> None:
    op.rename_table("animals", "residents")  # expect: rename
