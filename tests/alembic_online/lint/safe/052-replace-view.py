"""Postgres keeps the existing columns, in their order, so the release at work finds what it knows."""

from alembic import op

revision = "safe_052"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE OR REPLACE VIEW named_animals AS SELECT id, name, species FROM animals")
