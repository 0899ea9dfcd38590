"""One row, found by its key: a waiver says so, within the statement or above it."""

from alembic import op

revision = "safe_066"
down_revision = None


def upgrade() -> None:
    # lint: allow unbatched-change: one row, by its primary key
    op.execute("DELETE FROM meals WHERE id = 1")
    op.execute(
        "UPDATE exhibits SET name = 'Steppe' WHERE id = 1"  # lint: allow unbatched-change: one row, by its primary key
    )
