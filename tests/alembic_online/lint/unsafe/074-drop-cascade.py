"""CASCADE drops dependent objects that the statement does not name: views, foreign keys and others. Name each."""

from alembic import op

revision = "unsafe_074"
down_revision = None


def upgrade() -> None:
    op.execute("DROP TABLE closures CASCADE")  # expect: opaque, drop-in-expand
