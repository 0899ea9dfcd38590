"""Rows that are named by their key are few, and found at once. Where the key is not named, a waiver says why they are
few, within the statement or above it."""

from alembic import op

revision = "safe_066"
down_revision = None


def upgrade() -> None:
    op.execute("DELETE FROM meals WHERE id = 1")
    op.execute("UPDATE exhibits e SET name = 'Steppe' WHERE e.id IN (1, 2) AND 'Savanna' = e.name")
    # lint: allow unbatched-change: a keeper has few closures, and they are long over
    op.execute("DELETE FROM closures WHERE exhibit_id = 1")
    op.execute(
        "DELETE FROM weights WHERE animal_id = 1"  # lint: allow unbatched-change: an animal has few weights
    )
