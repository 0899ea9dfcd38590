"""As with a column: no order of deploying the api and the migration is without errors. Keep a view of the old name,
or both tables."""

from alembic import op

revision = "unsafe_065"
down_revision = None


def upgrade() -> None:
    op.rename_table("animals", "residents")  # expect: rename
