"""In a contract revision: nobody calls them any more."""

from alembic import op

revision = "safe_039"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"


def upgrade() -> None:
    op.execute("DROP VIEW named_animals")
    op.execute("DROP FUNCTION prune_visits()")
