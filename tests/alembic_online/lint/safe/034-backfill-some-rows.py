"""Only rows that the condition finds are written, and of those only what is not right yet."""

from alembic import op

revision = "safe_034"
down_revision = None


def upgrade() -> None:
    op.backfill("animals", {"species": "'unknown'"}, where="species IS NULL")
