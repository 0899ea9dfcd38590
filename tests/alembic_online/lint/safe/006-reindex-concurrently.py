"""The index is rebuilt beside the old one, which is used until then."""

from alembic import op

revision = "safe_006"
down_revision = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("REINDEX INDEX CONCURRENTLY ix_meals_price")
