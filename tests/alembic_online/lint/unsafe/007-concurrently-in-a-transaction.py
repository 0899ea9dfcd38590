"""CREATE INDEX CONCURRENTLY is refused in the revision's transaction: this fails each time. Use
op.create_index_online, which leaves the transaction."""

from alembic import op

revision = "unsafe_007"
down_revision = None
# fails: cannot run inside a transaction block


def upgrade() -> None:
    # expect: needs-autocommit
    op.create_index("ix_meals_note", "meals", ["note"], postgresql_concurrently=True)
