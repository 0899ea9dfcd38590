"""A unique index is built under the same lock as any other. Use op.create_index_online(..., unique=True)."""

from alembic import op

revision = "unsafe_002"
down_revision = None


def upgrade() -> None:
    op.create_index("uq_meals_note", "meals", ["note"], unique=True)  # expect: blocking-build
