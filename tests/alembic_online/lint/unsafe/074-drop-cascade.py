"""CASCADE drops what depends on it, which the statement does not name: views, foreign keys, whatever there is. Name
each."""

from alembic import op

revision = "unsafe_074"
down_revision = None


def upgrade() -> None:
    op.execute("DROP TABLE closures CASCADE")  # expect: opaque, drop-in-expand
