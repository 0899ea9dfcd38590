"""To change this constraint later, all tables that use the domain have to be locked at once. Use a plain type, and
op.add_check_online."""

from alembic import op

revision = "unsafe_021"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE DOMAIN grams AS bigint CHECK (VALUE > 0)")  # expect: ban-create-domain-with-constraint
