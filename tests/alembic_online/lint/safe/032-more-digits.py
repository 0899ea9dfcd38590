"""More digits at the same scale: no value changes."""

import sqlalchemy as sa
from alembic import op

revision = "safe_032"
down_revision = None


def upgrade() -> None:
    op.alter_column("meals", "price", existing_type=sa.Numeric(8, 2), type_=sa.Numeric(12, 2))
