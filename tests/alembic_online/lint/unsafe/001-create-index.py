"""Writes to animals wait as long as the index takes: minutes, on a large table. Use op.create_index_online, alone in
its revision."""

from alembic import op

revision = "unsafe_001"
down_revision = None


def upgrade() -> None:
    op.create_index("ix_animals_description", "animals", ["description"])  # expect: blocking-build
