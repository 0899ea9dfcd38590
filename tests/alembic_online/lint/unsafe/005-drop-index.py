"""DROP INDEX takes ACCESS EXCLUSIVE on the table of the index, so reads and writes of it wait while it waits. Use
op.drop_index_online."""

from alembic import op

revision = "unsafe_005"
down_revision = None


def upgrade() -> None:
    op.drop_index("ix_meals_price", "meals")  # expect: require-concurrent-index-deletion
