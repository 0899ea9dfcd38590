"""A revision is about a schema. A setting of the whole server outlives it, and nobody has a record of it."""

from alembic import op

revision = "unsafe_107"
down_revision = None
# fails: cannot run inside a transaction block


def upgrade() -> None:
    op.execute("ALTER SYSTEM SET work_mem = '1GB'")  # expect: needs-autocommit, ban-alter-system-options
