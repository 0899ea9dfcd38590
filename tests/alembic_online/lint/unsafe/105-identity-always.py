"""The release at work writes ids itself, and is refused. Set it in a contract revision."""

from alembic import op

revision = "unsafe_105"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals ALTER id SET GENERATED ALWAYS")  # expect: ban-alter-identity
