"""Only rows that match the condition are written, and of those only the ones that are not right yet."""

from alembic import op

revision = "safe_034"
down_revision = None


def upgrade() -> None:
    op.backfill("animals", {"species": "'unknown'"}, where="species IS NULL")
