"""An enum's values are stored as numbers: to change them to text, every row is rewritten. Add a second column beside
it."""

from alembic import op

revision = "unsafe_034"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals ALTER diet TYPE text USING diet::text")  # expect: blocking-rewrite
