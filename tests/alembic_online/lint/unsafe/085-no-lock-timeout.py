"""Without lock_timeout, an ALTER that waits blocks everybody behind it, without end. The migrator sets it, and tries
again."""

from alembic import op

revision = "unsafe_085"
down_revision = None


def upgrade() -> None:
    op.execute("SET lock_timeout = 0")  # expect: settings
    op.execute("ALTER TABLE animals ADD COLUMN wild boolean")
