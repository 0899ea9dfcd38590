"""It does not help that few rows end up in the index: all of them are read, while writes wait. Use
op.create_index_online."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_003"
down_revision = None


def upgrade() -> None:
    # expect: blocking-build
    op.create_index("ix_meals_meat", "meals", ["id"], postgresql_where=sa.text("diet = 'meat'"))
