"""The release at work still names the column in each of its statements. Drop it in a contract revision, once no
release that does is at work."""

from alembic import op

revision = "unsafe_069"
down_revision = None


def upgrade() -> None:
    op.drop_column("animals", "description")  # expect: drop-in-expand
