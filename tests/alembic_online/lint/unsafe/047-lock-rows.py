"""SELECT ... FOR UPDATE of a whole table locks each row until the revision is committed."""

from alembic import op

revision = "unsafe_047"
down_revision = None


def upgrade() -> None:
    op.execute("SELECT id FROM animals FOR UPDATE")  # expect: unbatched-change
