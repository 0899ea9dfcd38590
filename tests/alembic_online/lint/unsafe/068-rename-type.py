"""Casts to the old name fail from then on. A type's name does not concern users: leave it."""

from alembic import op

revision = "unsafe_068"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TYPE diet RENAME TO diets")  # expect: rename
