"""A domain's check is dropped for all tables that use it."""

from alembic import op

revision = "unsafe_116"
down_revision = None
# needs: ALTER DOMAIN kilograms ADD CONSTRAINT positive CHECK (VALUE > 0)


def upgrade() -> None:
    op.execute("ALTER DOMAIN kilograms DROP CONSTRAINT positive")  # expect: drop-check
