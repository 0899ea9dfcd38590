"""The rows of animals are locked until the join is done. Use op.backfill, whose values may be subqueries."""

from alembic import op

revision = "unsafe_042"
down_revision = None


def upgrade() -> None:
    # expect: unbatched-change
    op.execute("UPDATE animals SET description = e.name FROM exhibits e WHERE e.id = animals.exhibit_id")
