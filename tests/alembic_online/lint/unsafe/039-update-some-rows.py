"""How many rows match is not known: they are locked until the last of them is written. Use op.backfill(...,
where=...)."""

from alembic import op

revision = "unsafe_039"
down_revision = None


def upgrade() -> None:
    op.execute("UPDATE animals SET species = 'unknown' WHERE species IS NULL")  # expect: unbatched-change
