"""The catalogs change, and nothing else. The next release, which writes NULL, comes after it."""

import sqlalchemy as sa
from alembic import op

revision = "safe_020"
down_revision = None


def upgrade() -> None:
    op.alter_column("meals", "portions", existing_type=sa.Integer(), nullable=True)
