"""MERGE locks what it matches until the commit. Use op.backfill for what changes, and INSERT for what is new."""

from alembic import op

revision = "unsafe_044"
down_revision = None


def upgrade() -> None:
    # expect: unbatched-change
    op.execute("""
        MERGE INTO animals USING weights ON weights.animal_id = animals.id
        WHEN MATCHED THEN UPDATE SET description = weights.kilograms::text
    """)
