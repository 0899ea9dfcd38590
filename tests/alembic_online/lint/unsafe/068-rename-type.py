"""Casts to the old name fail from that moment on. A type's name is of no concern to users: leave it."""

from alembic import op

revision = "unsafe_068"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TYPE diet RENAME TO diets")  # expect: rename
