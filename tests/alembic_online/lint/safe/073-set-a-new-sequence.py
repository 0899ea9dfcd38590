"""Nobody uses it yet."""

from alembic import op

revision = "safe_073"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE keys")
    op.execute("SELECT setval('keys', 1000)")
