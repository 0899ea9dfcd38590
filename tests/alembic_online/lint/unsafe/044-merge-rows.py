"""MERGE locks the matching rows until the commit. Use op.backfill for changes, and INSERT for new rows."""

from alembic import op

revision = "unsafe_044"
down_revision = None


def upgrade() -> None:
    # expect: unbatched-change
    op.execute("""
        MERGE INTO animals USING weights ON weights.animal_id = animals.id
        WHEN MATCHED THEN UPDATE SET description = weights.kilograms::text
    """)
