"""An enum's values are stored as numbers: to make text of them, every row is written anew. Add a second column
beside it."""

from alembic import op

revision = "unsafe_034"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals ALTER diet TYPE text USING diet::text")  # expect: blocking-rewrite
