"""DROP INDEX CONCURRENTLY is refused in a transaction, too. Use op.drop_index_online."""

from alembic import op

revision = "unsafe_008"
down_revision = None
# fails: cannot run inside a transaction block


def upgrade() -> None:
    op.drop_index("ix_meals_price", "meals", postgresql_concurrently=True)  # expect: needs-autocommit
