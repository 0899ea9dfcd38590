"""nextval() is ahead of all numbers that were ever given out."""

from alembic import op

revision = "safe_072"
down_revision = None


def upgrade() -> None:
    op.execute("SELECT setval('tickets', greatest(nextval('tickets'), 1000))")
