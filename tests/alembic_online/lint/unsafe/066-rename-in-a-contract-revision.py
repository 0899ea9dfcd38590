"""A contract revision takes away what nobody uses any more. What is renamed is still used: by the old release before,
by the new one after."""

from alembic import op

revision = "unsafe_066"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"


def upgrade() -> None:
    op.alter_column("animals", "species", new_column_name="scientific_name")  # expect: rename
