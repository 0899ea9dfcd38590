"""What op.create_index_online does, written out: outside of the transaction, CONCURRENTLY, repeatable, and nothing
else in the revision."""

from alembic import op

revision = "safe_004"
down_revision = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index("ix_meals_note", "meals", ["note"], postgresql_concurrently=True, if_not_exists=True)
