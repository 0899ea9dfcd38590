"""Another scale changes the value in every row. More digits before the point, at the same scale, take an instant."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_033"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.alter_column("meals", "price", existing_type=sa.Numeric(8, 2), type_=sa.Numeric(10, 4))
